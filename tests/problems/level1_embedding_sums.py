import torch
import torch.nn as nn


class Model(nn.Module):
    """Sums of the rows of a table that each bag of integers names."""

    def __init__(self, vocabulary, dim):
        super().__init__()
        self.table = nn.Embedding(vocabulary, dim)

    def forward(self, ids):
        return self.table(ids).sum(dim=1)


batch_size = 512
bag = 16
vocabulary = 1000
embedding_dim = 64


def get_inputs():
    return [torch.randint(0, vocabulary, (batch_size, bag))]


def get_init_inputs():
    return [vocabulary, embedding_dim]
