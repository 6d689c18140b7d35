import torch
import torch.nn as nn


class Model(nn.Module):
    """One-dimensional transposed convolution, strided and dilated."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation):
        super().__init__()
        self.upsample = nn.ConvTranspose1d(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, dilation=dilation
        )

    def forward(self, x):
        return self.upsample(x)


batch_size = 32
in_channels = 32
out_channels = 64
kernel_size = 5
stride = 2
padding = 1
dilation = 3
length = 512


def get_inputs():
    return [torch.randn(batch_size, in_channels, length)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, dilation]
