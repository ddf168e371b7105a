# task: linear_gelu | backend: torch
# Weights are packed again by an override of load_state_dict.
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.pack()

    def pack(self):
        self.packed = self.linear.weight.detach().t().contiguous()

    def load_state_dict(self, state_dict, strict=True, assign=False):
        done = super().load_state_dict(state_dict, strict=strict, assign=assign)
        self.pack()
        return done

    def forward(self, x):
        return nn.functional.gelu(x @ self.packed + self.linear.bias)
