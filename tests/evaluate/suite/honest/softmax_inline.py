# task: softmax | backend: cpp | needs: slow
# A C++ extension as models write it.
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cpp_source = """
#include <torch/extension.h>
#include <cmath>

torch::Tensor softmax_forward(torch::Tensor x) {
  auto input = x.contiguous();
  auto out = torch::empty_like(input);
  const long rows = input.size(0), cols = input.size(1);
  const float* a = input.data_ptr<float>();
  float* b = out.data_ptr<float>();
  for (long r = 0; r < rows; ++r) {
    float top = a[r * cols];
    for (long c = 1; c < cols; ++c) top = std::max(top, a[r * cols + c]);
    float sum = 0;
    for (long c = 0; c < cols; ++c) sum += b[r * cols + c] = std::exp(a[r * cols + c] - top);
    for (long c = 0; c < cols; ++c) b[r * cols + c] /= sum;
  }
  return out;
}
"""
softmax_module = load_inline(
    name="honest_softmax",
    cpp_sources=cpp_source,
    functions=["softmax_forward"],
    extra_cflags=["-O3"],
    verbose=False,
)


class ModelNew(nn.Module):
    def __init__(self):
        super(ModelNew, self).__init__()  # noqa: UP008
        self.softmax = softmax_module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.softmax.softmax_forward(x)
