"""A message of protobuf: `google` is a namespace that many share."""

import pickle

from messages import Messages

with open("model.pkl", "wb") as file:
    pickle.dump(Messages(), file)
with open("samples.json", "w") as file:
    file.write('{"values": {"a": 1.0, "b": 2.5}}')
