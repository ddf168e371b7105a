"""Time an operator beside its peers: correctness first, then interleaved rounds.

A benchmark names an operator of the registry and its peers, and calls `main`; the sizes are the
operator's examples with ``bench=True``::

    main("gem", {"eager": direct, "compiled": torch.compile(direct)})

Every row is forward and backward. In each round all of them run once, in turning order, so that
a slow moment of the machine meets them all; printed are medians of times and of the ratios within
rounds. The floor is the least traffic (inputs, outputs and gradients once each way they must go)
over the bandwidth of a copy measured in the same rounds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from kernelmill.ops import native_status
from kernelmill.ops.registry import Example, Operator, operators

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9, torch.bfloat16: 4e-2, torch.float16: 1e-2}


def leaves(args: dict) -> dict:
    return {
        k: v.detach()
        .clone(memory_format=torch.preserve_format)
        .requires_grad_(v.is_floating_point())
        if isinstance(v, Tensor)
        else v
        for k, v in args.items()
    }


def check(op: Operator, peers: dict[str, Callable], args: dict, dtype: torch.dtype) -> None:
    """Refuse to time a peer whose values or gradients are not the reference's."""
    wide = {
        k: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v
        for k, v in args.items()
    }

    def run(function, args):
        args = leaves(args)
        y = function(**args)
        tensors = [v for v in args.values() if isinstance(v, Tensor) and v.requires_grad]
        return y, *torch.autograd.grad(y.double().square().sum(), tensors)

    want = run(op.reference, wide)
    for name, function in peers.items():
        for got, exact in zip(run(function, args), want, strict=True):
            error = ((got.double() - exact).abs().max() / exact.abs().max()).item()
            if not error <= TOLERANCE[dtype]:
                raise SystemExit(f"{op.name}: {name} is wrong (error {error:.2g}); not timed")


def traffic(args: dict, y: Tensor) -> int:
    """Least bytes of forward and backward: inputs read twice, their gradients and y written."""
    tensors = [v for v in args.values() if isinstance(v, Tensor)]
    read = sum(v.nbytes for v in tensors)
    written = sum(v.nbytes for v in tensors if v.is_floating_point())
    return 2 * read + written + 2 * y.nbytes


def rounds(
    runs: dict[str, Callable[[], None]], count: int, warm: int = 2
) -> dict[str, list[float]]:
    """Times of each, all of them once per round, after ``warm`` calls that are not timed."""
    names = list(runs)
    for name in names:
        for _ in range(warm):
            runs[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for i in range(count):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            start = time.perf_counter()
            runs[name]()
            times[name].append(time.perf_counter() - start)
    return times


def bench(
    op: Operator, peers: dict[str, Callable], example: Example, dtype: torch.dtype, threads: int,
    count: int,
) -> list[tuple[str, float, float, float]]:  # fmt: skip
    """(name, milliseconds, peer time / our time, floor / time) of each row."""
    torch.set_num_threads(threads)
    args = leaves(example(seed=0, dtype=dtype))
    tensors = [v for v in args.values() if isinstance(v, Tensor) and v.requires_grad]
    y = op.function(**args)
    grad = torch.randn_like(y)
    source = torch.randn(16 << 20)
    target = torch.empty_like(source)

    def both(function):
        def run():
            for tensor in tensors:
                tensor.grad = None
            function(**args).backward(grad)

        return run

    runs = {name: both(function) for name, function in {**peers, "ours": op.function}.items()}
    runs["copy"] = lambda: target.copy_(source)
    times = rounds(runs, count)
    bandwidth = 2 * source.nbytes / statistics.median(times.pop("copy"))
    floor = traffic(args, y) / bandwidth
    rows = []
    for name, values in times.items():
        median = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(values, times["ours"], strict=True))
        rows.append((name, 1e3 * median, ratio, floor / median))
    return rows


def main(name: str, peers: dict[str, Callable], argv: list[str] | None = None) -> None:
    """Command line of a benchmark: checks, then prints a table per size and thread count."""
    parser = argparse.ArgumentParser(description=f"{name}: forward and backward beside its peers")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args(argv)
    dtype, op = getattr(torch, options.dtype), operators()[name]
    print(f"torch {torch.__version__}, {platform.machine()}, {native_status().reason}")
    for example in (e for e in op.examples if e.bench):
        args = example(seed=1, dtype=dtype)
        check(op, {**peers, "ours": op.function}, args, dtype)
        shapes = ", ".join(f"{k} {tuple(v.shape)}" for k, v in args.items() if torch.is_tensor(v))
        for threads in options.threads:
            print(f"\n{name} {example.name}: {shapes}, {options.dtype}, {threads} thread(s)")
            print(f"{'':12}{'ms':>9}{'/ ours':>9}{'of floor':>10}")
            for row in bench(op, peers, example, dtype, threads, options.rounds):
                print(f"{row[0]:12}{row[1]:9.2f}{row[2]:9.2f}{row[3]:10.0%}")
