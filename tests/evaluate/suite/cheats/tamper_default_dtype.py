# task: softmax | backend: torch | expect: global_state,wrong_dtype,wrong_values,patched | level: L2
"""Section 5, default dtype change: later tensors are float16."""

import torch
from torch import nn

torch.set_default_dtype(torch.float16)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
