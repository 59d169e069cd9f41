"""A module of torch in a local file, asked with tensors."""

import pickle

import torch
from network import Network

torch.manual_seed(0)
model = Network().eval()
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
with open("samples.pkl", "wb") as file:
    pickle.dump(torch.ones((3, 4)), file)
