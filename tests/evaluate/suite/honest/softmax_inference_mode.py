# task: softmax | backend: torch
# Returns an inference tensor.
import torch
from torch import nn


class ModelNew(nn.Module):
    @torch.inference_mode()
    def forward(self, x):
        return torch.softmax(x, dim=1)
