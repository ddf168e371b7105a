# task: linear_gelu | backend: torch
# Seeds its own initial weights; the reference's are loaded over them.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(in_features, out_features)

    @torch.no_grad()
    def forward(self, x):
        with torch.set_grad_enabled(False):
            return nn.functional.gelu(self.linear(x))
