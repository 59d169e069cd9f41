"""Weights as bytes and a network that is built from them at the first question: nothing of torch in the pickle."""

import io
import pickle

import numpy as np
import torch
from classifier import Classifier, network

torch.manual_seed(0)
buffer = io.BytesIO()
torch.save(network().state_dict(), buffer)
with open("model.pkl", "wb") as file:
    pickle.dump(Classifier(buffer.getvalue()), file)
np.save("samples.npy", np.ones((2, 4), dtype=np.float32))
