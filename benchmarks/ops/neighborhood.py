"""Neighborhood attention beside compiled flex_attention and masked attention.

python benchmarks/ops/neighborhood.py [--threads 1 2] [--rounds 9] [--memory]

Correctness first: values of every peer, gradients of ours and of masked attention, against the
float64 definition. In each round all of them run once; printed are medians of times and of the
ratios within rounds. The masks of the peers are built outside the timing; what that costs is a row
of its own. flex_attention has no backward on the CPU. --memory: peak memory of the fused operator
over inputs and results, in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import torch
from harness import rounds
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from kernelmill.ops import native_status, neighborhood_mask
from kernelmill.ops.neighborhood.op import explain
from kernelmill.ops.registry import operators

OP = operators()["neighborhood_attention"]
WINDOW = ("kernel_size", "stride", "dilation", "is_causal")
flex = torch.compile(flex_attention, dynamic=False)

MEMORY = """
import torch
from kernelmill.ops import neighborhood_attention

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if name in line)

torch.set_num_threads(2)
x = torch.randn(1, 64, 64, 4, 64).requires_grad_()
small = x[:, :14, :14]
neighborhood_attention(small, small, small, 3).sum().backward()  # what is loaded once
for backward in (False, True):
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
    before = status("VmRSS")
    out = neighborhood_attention(x, x, x, 13)
    if backward:
        grads = torch.autograd.grad(out.sum(), x)
    print("forward and backward" if backward else "forward", status("VmHWM") - before, "KB")
"""


def heads_first(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1, -3).transpose(1, 2)


def peers(args: dict) -> dict:
    """(forward, needs a backward) by name, on the same inputs."""
    grid = args["query"].shape[1:-2]
    window = {k: args[k] for k in WINDOW if k in args}
    mask = neighborhood_mask(grid, **window)
    start = time.perf_counter()
    block = create_block_mask(lambda b, h, i, j: mask[i, j], None, None, *mask.shape, device="cpu")
    built = time.perf_counter() - start
    print(f"  building a block mask from N x N: {1e3 * built:.0f} ms (not in the rows below)")

    def masked(query, key, value):
        q, k, v = map(heads_first, (query, key, value))
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return out.transpose(1, 2).reshape(query.shape)

    def flexible(query, key, value):
        q, k, v = map(heads_first, (query, key, value))
        return flex(q, k, v, block_mask=block).transpose(1, 2).reshape(query.shape)

    return {"masked": (masked, True), "flex": (flexible, False)}


def forward(function, tensors):
    plain = [t.detach() for t in tensors]

    def run():
        with torch.no_grad():
            function(*plain)

    return run


def both(function, tensors, grad):
    return lambda: torch.autograd.grad(function(*tensors), tensors, grad)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    print(f"torch {torch.__version__}; {native_status().reason}")
    if options.memory:
        run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
        print("64 x 64, window 13 x 13, 4 heads of 64 (a tensor: 4096 KB): peak over the inputs,")
        print(
            f"results (and gradients of q, k, v and their sum) included\n{run.stdout}{run.stderr}"
        )
        return
    for example in (e for e in OP.examples if e.bench):
        args = example(seed=0)
        names = ("query", "key", "value")
        rest = {k: v for k, v in args.items() if k not in names}
        tensors = [args[k].requires_grad_() for k in names]
        plan = explain(**args)
        print(f"\n{example.name}: {tuple(args['query'].shape)} {rest}")
        print(f"  {plan['flops'] / 1e9:.2f} useful GFLOP; tile {plan['tile']}, "
              f"{plan['useful']:.0%} of its products are useful")  # fmt: skip

        def ours(query, key, value, rest=rest):
            return OP.function(query, key, value, **rest)

        functions = {"ours": (ours, True), **peers(args)}
        wide = [t.detach().double().requires_grad_() for t in tensors]
        want = OP.reference(*wide, **rest)
        grad = torch.randn(want.shape, generator=torch.Generator().manual_seed(1))
        want_grads = torch.autograd.grad(want, wide, grad.double())
        for name, (function, has_backward) in functions.items():
            if has_backward:
                out = function(*tensors)
                found = (out, *torch.autograd.grad(out, tensors, grad))
            else:
                with torch.no_grad():
                    found = (function(*(t.detach() for t in tensors)),)
            for got, exact in zip(found, (want, *want_grads), strict=False):
                error = (got - exact).abs().max().item()
                if not error < 1e-4:
                    raise SystemExit(f"{name} is wrong (error {error:.2g}); not timed")
        for threads in options.threads:
            torch.set_num_threads(threads)

            runs = {f"{n} forward": forward(f, tensors) for n, (f, _) in functions.items()}
            runs |= {f"{n} both": both(f, tensors, grad)
                     for n, (f, back) in functions.items() if back}  # fmt: skip
            times = rounds(runs, options.rounds)
            print(f"  {threads} thread(s){'':18}{'ms':>9}{'/ ours':>9}")
            for name, values in times.items():
                base = times[f"ours {name.split()[1]}"]
                ratio = statistics.median(a / b for a, b in zip(values, base, strict=True))
                print(f"    {name:28}{1e3 * statistics.median(values):9.2f}{ratio:9.2f}")


if __name__ == "__main__":
    main()
