import io


def network():
    from torch import nn

    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


class Classifier:
    def __init__(self, weights):
        self.weights = weights
        self.network = None

    def predict(self, rows):
        import torch

        if self.network is None:
            self.network = network()
            self.network.load_state_dict(torch.load(io.BytesIO(self.weights), weights_only=True))
        with torch.no_grad():
            return self.network(torch.from_numpy(rows)).argmax(dim=1).numpy()
