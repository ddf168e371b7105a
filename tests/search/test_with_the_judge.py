"""The whole way with the real judge: search, race, winner, report, one call of the result."""

from __future__ import annotations

import pytest
import torch

from kernelmill.search import Budget, load, optimize, show_run
from kernelmill.search.store import Store
from kernelmill.tasks import Candidate

FUSED = r"""
#include "kernelmill.h"
#include <cmath>

extern "C" int forward(const km_tensor* in, int n_in, km_tensor* out, int n_out) {
    const float* x = (const float*)in[0].data;
    const float* w = (const float*)in[1].data;
    float* y = (float*)out[0].data;
    const int64_t d = in[0].sizes[in[0].ndim - 1], rows = km_numel(&in[0]) / d;
    for (int64_t i = 0; i < rows; i++) {
        float sum = 0;
        for (int64_t j = 0; j < d; j++) sum += x[i * d + j] * x[i * d + j];
        const float scale = 1.f / std::sqrt(sum / d + 1e-6f);
        for (int64_t j = 0; j < d; j++) {
            const float v = x[i * d + j] * scale * w[j];
            y[i * d + j] = v / (1.f + std::exp(-v));
        }
    }
    return 0;
}
"""


class NormSiLU(torch.nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(dim))

    def forward(self, x):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return torch.nn.functional.silu(x * scale * self.weight)


class ByHand:
    name = "by_hand"

    def propose(self, task, parents, context):
        if not parents:
            yield Candidate(FUSED, "cpp", "fused")
            yield Candidate(FUSED.replace("1e-6f", "1e-1f"), "cpp", "wrong")
            yield Candidate(FUSED.replace("return 0;", "return 0"), "cpp", "broken")


@pytest.mark.slow
def test_a_module_made_faster(tmp_path):
    module = NormSiLU(64).eval().requires_grad_(False)
    x = torch.randn(512, 64)
    fast = optimize(
        module,
        [x],
        Budget(candidates=10),
        store=tmp_path / "runs.db",
        proposers=[ByHand()],
        threads=1,
        settings={"min_time_s": 0.2, "runs": 10},
        out=tmp_path / "out",
    )
    store = Store(tmp_path / "runs.db")
    ((record, _),) = store.list_runs()
    shown = show_run(store, record.id)
    status = {n["name"]: (n["status"], n["reasons"]) for n in shown["nodes"]}
    assert status["fused"][0] == "accept", status["fused"]
    assert status["wrong"][0] == "reject" and status["broken"][0] == "error"
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    again = load(tmp_path / "out" / "winner", module)
    for deployed in (fast, again):
        module.weight.uniform_(0.5, 1.5)
        torch.testing.assert_close(deployed(x), module(x))
        torch.testing.assert_close(deployed(x[:7]), module(x[:7]))
        if shown["result"]["winner"]:  # it is some 5 times as fast, but machines are busy
            assert deployed.calls == {"kernel": 1, "reference": 1}, deployed.explain()
