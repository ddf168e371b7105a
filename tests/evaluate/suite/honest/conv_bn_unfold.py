# task: conv_bn | backend: torch
# im2col.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        batch, _, height, width = x.shape
        columns = nn.functional.unfold(x, 3, padding=1)
        y = self.conv.weight.flatten(1) @ columns + self.conv.bias.unsqueeze(1)
        y = y.view(batch, -1, height, width)
        bn = self.bn
        y = (y - bn.running_mean.view(-1, 1, 1)) / (bn.running_var.abs() + 1e-5).sqrt().view(
            -1, 1, 1
        )
        return torch.relu(y * bn.weight.view(-1, 1, 1) + bn.bias.view(-1, 1, 1))
