# task: softmax | backend: torch | level: L0
# | expect: no_model_new,init_failed,build_failed,wrong_type
"""Section 6, `ModelNew` is no class of modules."""

import torch


def ModelNew():
    return torch.nn.Softmax(dim=1)
