import torch
import torch.nn as nn


class Model(nn.Module):
    """
    A linear layer, normalised by groups of channels, and clipped.
    """

    def __init__(self, in_features, out_features, num_groups, low, high):
        super(Model, self).__init__()
        self.gemm = nn.Linear(in_features, out_features)
        self.group_norm = nn.GroupNorm(num_groups, out_features)
        self.low, self.high = low, high

    def forward(self, x):
        x = self.group_norm(self.gemm(x))
        return torch.nn.functional.hardtanh(x, self.low, self.high)


batch_size = 128
in_features = 128
out_features = 64
num_groups = 8
low, high = -2.0, 2.0


def get_inputs():
    return [torch.rand(batch_size, in_features)]


def get_init_inputs():
    return [in_features, out_features, num_groups, low, high]
