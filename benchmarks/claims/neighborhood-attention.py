"""Claim: neighborhood attention costs time linear in the tokens, and memory that is constant.

python benchmarks/claims/neighborhood-attention.py [--rounds 7]

The paper's claim at the size of a CPU (Faster Neighborhood Attention, NeurIPS 2024): with a fixed
window, time grows with N, the fused kernel stores nothing of the size of the attention weights, and
is faster than the unfused one and than attention with a mask. Every line says whether it holds.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time

import torch
from torch.nn import functional

from kernelmill.ops import na1d, na2d, na2d_av, na2d_qk, native_status, neighborhood_mask


def race(runs: dict, rounds: int) -> dict[str, float]:
    """Median seconds of each, all of them once a round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if i:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak(run) -> int:
    """Kilobytes that the process' memory rises by while it runs."""

    def status(name):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name))

    ctypes.CDLL(None).malloc_trim(0)  # what was freed must not serve again
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
    before = status("VmRSS")
    run()
    return status("VmHWM") - before


def line(text: str, value: str, holds: bool) -> bool:
    print(f"  {text:62}{value:>14}  {'holds' if holds else 'DOES NOT HOLD'}")
    return holds


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread; {native_status().reason}")
    print("time of 4 N over time of N, wanted 3.2 to 5:")
    small, large = torch.randn(1, 8192, 4, 64), torch.randn(1, 32768, 4, 64)
    times = race({"small": lambda: na1d(small, small, small, 127),
                  "large": lambda: na1d(large, large, large, 127)}, options.rounds)  # fmt: skip
    ratio = times["large"] / times["small"]
    line("1-D, N = 8,192, window 127", f"{ratio:.2f}", 3.2 <= ratio <= 5)
    small, large = torch.randn(1, 64, 64, 4, 64), torch.randn(1, 128, 128, 4, 64)
    times = race({"small": lambda: na2d(small, small, small, 13),
                  "large": lambda: na2d(large, large, large, 13)}, options.rounds)  # fmt: skip
    ratio = times["large"] / times["small"]
    line("2-D, 64 x 64, window 13 x 13", f"{ratio:.2f}", 3.2 <= ratio <= 5)

    print("memory over the result, wanted below 4 MB at 64 x 64, window 13 x 13, 4 heads of 64:")
    out = [None]

    def fused():
        out[0] = na2d(small, small, small, 13)

    rise = peak(fused) - out[0].nbytes // 1024
    line("fused", f"{rise} KB", rise < 4096)
    print(f"  (the weights take {64 * 64 * 4 * 169 * 4 / 1e6:.0f} MB, scores with a mask 268 MB)")

    print("fused forward beside others, 4 heads of 64, wanted 1.5x (unfused) and 5x (masked):")
    for window in (7, 9, 13):
        mask = neighborhood_mask((64, 64), window)
        first = small.flatten(1, 2).transpose(1, 2)
        planes = small.permute(0, 3, 1, 2, 4).contiguous()

        def unfused(planes=planes, window=window):
            weights = (na2d_qk(planes * 64**-0.5, planes, window)).softmax(-1)
            return na2d_av(weights, planes, window)

        def masked(first=first, mask=mask):
            return functional.scaled_dot_product_attention(first, first, first, attn_mask=mask)

        want = na2d(small, small, small, window)
        torch.testing.assert_close(unfused().permute(0, 2, 3, 1, 4), want, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            masked().transpose(1, 2).unflatten(1, (64, 64)), want, rtol=1e-4, atol=1e-4
        )
        times = race({"fused": lambda window=window: na2d(small, small, small, window),
                      "unfused": unfused, "masked": masked}, options.rounds)  # fmt: skip
        for name, wanted in (("unfused", 1.5), ("masked", 5)):
            ratio = times[name] / times["fused"]
            line(f"window {window} x {window}, {name}", f"{ratio:.1f}x", ratio >= wanted)


if __name__ == "__main__":
    main()
