import torch
import torch.nn as nn


class Model(nn.Module):
    """A recurrent layer: as many products as there are steps."""

    def __init__(self, input_size, hidden_size):
        super(Model, self).__init__()
        self.step = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x, h):
        for t in range(x.size(0)):
            h = torch.tanh(self.step(torch.cat((x[t], h), dim=1)))
        return h


seq_length = 16
batch_size = 8
input_size = 64
hidden_size = 32


def get_inputs():
    return [torch.rand(seq_length, batch_size, input_size), torch.rand(batch_size, hidden_size)]


def get_init_inputs():
    return [input_size, hidden_size]
