import torch
import torch.nn as nn


class Model(nn.Module):
    """
    Largest value of each window.
    """

    def __init__(self, kernel_size, stride, padding):
        super(Model, self).__init__()
        self.maxpool = nn.MaxPool2d(kernel_size, stride=stride, padding=padding)

    def forward(self, x):
        return self.maxpool(x)


batch_size, channels = 4, 16
height = width = 64
shape = (65, 70)
kernel_size = 3
stride = 2
padding = 1


def get_inputs():
    return [torch.rand(batch_size, channels, *shape) - 0.5]


def get_init_inputs():
    return [kernel_size, stride, padding]
