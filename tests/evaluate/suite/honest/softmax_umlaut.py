# task: softmax | backend: torch
# Größe, 行, ε → ∞: a text need not be ASCII.
import torch
from torch import nn

größe = 1


class ModelNew(nn.Module):
    """Σ exp(xᵢ − max) ≤ n"""

    def forward(self, x):
        return torch.softmax(x, dim=größe)
