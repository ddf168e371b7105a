# task: softmax | backend: torch
# An optional import is no fallback.
import torch
from torch import nn

try:
    import a_library_that_is_not_here as fast
except ImportError:
    fast = None

try:
    import triton
except ImportError:
    triton = None

HAS_TRITON = triton is not None and torch.cuda.is_available()


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)
