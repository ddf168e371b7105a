# task: layer_norm | backend: torch
# State under other names: taken over by order and shape.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.affine = nn.ParameterDict(
            {"gain": nn.Parameter(torch.ones(dim)), "shift": nn.Parameter(torch.zeros(dim))}
        )

    def forward(self, x):
        gain, shift = self.affine["gain"], self.affine["shift"]
        return nn.functional.layer_norm(x, x.shape[-1:], gain, shift)
