# task: batch_norm_train | backend: torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bn = nn.BatchNorm1d(dim)

    def forward(self, x):
        if not self.training:
            return self.bn(x)
        self.bn.num_batches_tracked.add_(1)
        return nn.functional.batch_norm(
            x, self.bn.running_mean, self.bn.running_var, self.bn.weight, self.bn.bias, True, 0.1
        )
