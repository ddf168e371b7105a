# task: linear_gelu | backend: torch
# Weights are packed at construction and again whenever a state is loaded.
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.pack()
        self.register_load_state_dict_post_hook(lambda module, keys: module.pack())

    def pack(self):
        self.packed = self.linear.weight.detach().t().contiguous()

    def forward(self, x):
        return nn.functional.gelu((x @ self.packed).add_(self.linear.bias))
