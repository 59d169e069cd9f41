import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, rows):
        return self.layers(rows)

    def predict(self, rows):
        with torch.no_grad():
            return self(rows)
