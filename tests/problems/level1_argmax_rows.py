import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Where each row is largest, and how large it is there.
    """

    def __init__(self, dim):
        super(Model, self).__init__()
        self.dim = dim

    def forward(self, x):
        values, indices = torch.max(x, dim=self.dim)
        return values, indices


batch_size = 256
input_shape = (512,)
dim = 1


def get_inputs():
    return [torch.randn(batch_size, *input_shape)]


def get_init_inputs():
    return [dim]
