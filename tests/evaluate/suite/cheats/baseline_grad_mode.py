# task: softmax | backend: torch | expect: global_state,wrong_gradient | level: L1
"""Section 7, global flags: grad mode is switched off and stays off."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        torch.set_grad_enabled(not torch.is_grad_enabled())
        return torch.softmax(x, dim=1)
