import torch
import torch.nn as nn


class Model(nn.Module):
    """Softmax of scaled products of queries and keys, drawn on a GPU in half precision."""

    def forward(self, q, k):
        scale = torch.tensor(q.shape[-1] ** -0.5, device=q.device, dtype=q.dtype)
        return torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * scale, dim=-1)


batch_size = 8
sequence = 256
dim = 64


def get_inputs():
    q = 2 * torch.randn(batch_size, sequence, dim, device="cuda", dtype=torch.float16)
    k = torch.randn(batch_size, sequence, dim, dtype=torch.float16).cuda()
    return [q, k]


def get_init_inputs():
    return []
