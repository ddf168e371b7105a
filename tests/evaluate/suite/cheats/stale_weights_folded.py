# task: linear_gelu | backend: torch | expect: @stale,state_mismatch | level: L1
"""Section 2, weights folded once: transposed on the first call, stale after load_state_dict."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.packed = None

    def forward(self, x):
        if self.packed is None:
            self.packed = self.linear.weight.detach().t().contiguous()
        return nn.functional.gelu(x @ self.packed + self.linear.bias)
