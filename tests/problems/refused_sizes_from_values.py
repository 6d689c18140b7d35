import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x[x > 0]


batch_size = 128


def get_inputs():
    return [torch.randn(batch_size)]


def get_init_inputs():
    return []
