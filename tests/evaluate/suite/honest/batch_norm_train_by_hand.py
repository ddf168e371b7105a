# task: batch_norm_train | backend: torch
# Moves the running statistics as the reference does.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bn = nn.BatchNorm1d(dim)

    def forward(self, x):
        bn = self.bn
        if not self.training:
            return bn(x)
        var, mean = torch.var_mean(x, dim=0, correction=0)
        with torch.no_grad():
            bn.num_batches_tracked += 1
            bn.running_mean.mul_(0.9).add_(mean, alpha=0.1)
            bn.running_var.mul_(0.9).add_(var, alpha=0.1 * x.shape[0] / (x.shape[0] - 1))
        return (x - mean) * torch.rsqrt(var + bn.eps) * bn.weight + bn.bias
