from __future__ import annotations

import shutil

import pytest

from kernelmill import backends
from kernelmill.backends import BuildError, BuildSpec
from kernelmill.backends.device import has_cuda

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
SOURCE = """
#include "kernelmill.h"
__global__ void twice(const float* x, float* y, int64_t n) {
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2 * x[i];
}
extern "C" int forward(const km_tensor* in, int n_in, km_tensor* out, int n_out) {
    int64_t n = km_numel(&in[0]);
    twice<<<(n + 255) / 256, 256>>>((const float*)in[0].data, (float*)out[0].data, n);
    return cudaGetLastError();
}
"""


@needs_nvcc
def test_sources_can_be_compiled_without_a_gpu(tmp_path):
    assert "1 CUDA source" in backends.get("cuda").compile_check(SOURCE, tmp_path)
    with pytest.raises(BuildError, match="missing") as caught:
        backends.get("cuda").compile_check(SOURCE.replace("2 * x[i]", "missing"), tmp_path)
    assert caught.value.line == 5


def test_python_text_without_a_kernel(tmp_path):
    with pytest.raises(BuildError, match="__global__"):
        backends.get("cuda").compile_check("import torch\n", tmp_path)


@pytest.mark.skipif(has_cuda(), reason="there is a GPU")
def test_without_a_gpu_the_backend_says_so(tmp_path):
    found = backends.get("cuda").available()
    assert not found.usable and not found.can_time and found.reason
    with pytest.raises(BuildError):
        backends.get("cuda").build(SOURCE, tmp_path, BuildSpec())
