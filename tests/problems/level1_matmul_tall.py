import torch
import torch.nn as nn


class Model(nn.Module):
    """
    A tall matrix times a small one.
    """

    def __init__(self):
        super(Model, self).__init__()

    def forward(self, A, B):
        return torch.matmul(A, B)


M = 16 * 64
K = 96
N = 64


def get_inputs():
    return [torch.rand(M, K), torch.rand(K, N)]


def get_init_inputs():
    return []
