import torch
import torch.nn as nn


class Model(nn.Module):
    """
    A transposed convolution, and its mean over each picture.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super(Model, self).__init__()
        self.conv_transpose = nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride=stride)

    def forward(self, x):
        return torch.mean(self.conv_transpose(x), dim=[2, 3], keepdim=True)


batch_size = 8
in_channels = 16
out_channels = 24
height, width = 24, 24
kernel_size = 3
stride = 2


def get_inputs():
    return [torch.randn(batch_size, in_channels, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride]
