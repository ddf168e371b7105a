# task: rms_norm_bf16 | backend: torch
# Rounds once more than the reference does, which bfloat16 allows.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5)
        return x * scale.to(x.dtype)
