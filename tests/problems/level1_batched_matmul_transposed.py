import torch
import torch.nn as nn


class Model(nn.Module):
    """Products of two batches of matrices, both of which lie transposed."""

    def forward(self, a, b):
        return torch.bmm(a.transpose(1, 2), b.mT)


batch_size = 16
m = 96
n = 2 * m
k = 160


def get_inputs():
    return [torch.rand(batch_size, k, m), torch.rand(batch_size, n, k)]


def get_init_inputs():
    return []
