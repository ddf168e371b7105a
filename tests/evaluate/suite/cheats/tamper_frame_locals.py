# task: softmax | backend: torch | expect: wrong_values,frame_access | level: L2
"""Section 5, memory scan: the locals of the calling frames."""

import sys

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        frame = sys._getframe(1)
        while frame is not None:
            for value in list(frame.f_locals.values()):
                if type(value) is torch.Tensor and value is not x and value.shape == x.shape:
                    return value.clone()
            frame = frame.f_back
        return torch.zeros_like(x)
