import torch
import torch.nn as nn


class Model(nn.Module):
    """One less the cosine between predictions and targets, averaged over the batch."""

    def forward(self, predictions, targets):
        return torch.mean(1 - nn.functional.cosine_similarity(predictions, targets, dim=1))


batch_size = 256
input_shape = (1024,)
dim = 1


def get_inputs():
    return [torch.randn(batch_size, *input_shape), torch.randn(batch_size, *input_shape)]


def get_init_inputs():
    return []
