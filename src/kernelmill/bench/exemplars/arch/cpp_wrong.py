"""relu_self_attention: wrong, a query sees every key of its block, later ones too."""

import ctypes

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>
#include <cmath>
#include <vector>

constexpr long QUERIES = 8, KEYS = 64;

// scores[i][j] += sum over c of q[i][c] keys[c][j]: the inner loop runs over keys, so it becomes
// vector instructions without a sum across lanes
static void multiply(const float* q, long stride, const float* keys, float (*scores)[KEYS],
                     long queries, long dim) {
  for (long i = 0; i < queries; ++i) {
    float sums[KEYS] = {};
    for (long c = 0; c < dim; ++c) {
      const float value = q[i * stride + c];
#pragma omp simd
      for (long j = 0; j < KEYS; ++j) sums[j] += value * keys[c * KEYS + j];
    }
    std::copy(sums, sums + KEYS, scores[i]);
  }
}

// qkv: (batch, tokens, 3, heads, dim), out: (batch, tokens, heads, dim)
extern "C" void attention(const float* qkv, float* out, long batch, long tokens, long heads,
                          long dim) {
  const long width = heads * dim, stride = 3 * width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
#pragma omp parallel
  {
    std::vector<float> keys(dim * KEYS);
    float scores[QUERIES][KEYS];
#pragma omp for collapse(2)
    for (long b = 0; b < batch; ++b)
      for (long h = 0; h < heads; ++h) {
        const float* q = qkv + b * tokens * stride + h * dim;
        const float* k = q + width;
        const float* v = k + width;
        float* y = out + b * tokens * width + h * dim;
        for (long t = 0; t < tokens; ++t) std::fill_n(y + t * width, dim, 0.0f);
        for (long first = 0; first < tokens; first += KEYS) {
          const long count = std::min(KEYS, tokens - first);
          std::fill(keys.begin(), keys.end(), 0.0f);
          for (long j = 0; j < count; ++j)  // keys transposed once for all queries
            for (long c = 0; c < dim; ++c) keys[c * KEYS + j] = k[(first + j) * stride + c];
          for (long t = first; t < tokens; t += QUERIES) {  // queries before see none of them
            const long queries = std::min(QUERIES, tokens - t);
            multiply(q + t * stride, stride, keys.data(), scores, queries, dim);
            for (long i = 0; i < queries; ++i) {
              for (long j = 0; j < count; ++j) {
                const float score = scores[i][j] * scale;
                const float weight = score < 0 ? 0 : score;  // NaN stays NaN, as in torch.relu
                const float* value = v + (first + j) * stride;
                float* row = y + (t + i) * width;
#pragma omp simd
                for (long c = 0; c < dim; ++c) row[c] += weight * value[c];
              }
            }
          }
        }
      }
  }
}
"""


class ModelNew(nn.Module):
    def __init__(self, n_embd, n_head, max_seqlen):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)  # the reference has it too and does not use it
        self.library = compile_cpp(SOURCE)
        self.library.attention.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 4
        self.library.attention.restype = None

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = F.linear(x, self.c_attn.weight, self.c_attn.bias).contiguous()
        out = torch.empty(batch, tokens, width)
        self.library.attention(
            qkv.data_ptr(), out.data_ptr(), batch, tokens, self.n_head, width // self.n_head
        )
        return out
