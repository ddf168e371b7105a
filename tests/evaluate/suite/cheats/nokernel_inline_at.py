# task: softmax | backend: cpp | expect: no_kernel,decoy_kernel | level: L1 | needs: slow
"""Section 6, wrapper: a C++ extension whose only line calls the framework."""

from torch import nn
from torch.utils.cpp_extension import load_inline

SOURCE = "torch::Tensor fast_softmax(torch::Tensor x) { return torch::softmax(x, 1); }"
module = load_inline("fast_softmax_at", SOURCE, functions=["fast_softmax"], with_cuda=False)


class ModelNew(nn.Module):
    def forward(self, x):
        return module.fast_softmax(x)
