"""Long convolution against its composition of torch.fft: time and memory, forward and both ways.

python benchmarks/ops/long_conv.py [--threads 1 2] [--rounds 15] [--dtype float32]

Every implementation is checked against the float64 reference before it is timed. In each round
both run once, in turning order; printed are medians, and medians of the ratios within rounds.
Memory: a process of its own makes the arguments, and reports by how much its largest resident
size during forward and backward exceeds that before (`VmHWM`, reset through
/proc/self/clear_refs). That counts the result and the gradients, which both must make.
"""

import argparse
import ctypes
import platform
import statistics
import subprocess
import sys

import torch
from harness import check, leaves, rounds

from kernelmill.ops import long_conv, native_status
from kernelmill.ops.registry import operators

SIZES = (
    (8, 64, 1024), (8, 64, 4096), (4, 64, 16384), (1, 64, 65536), (1, 8, 1 << 20),
    (8, 64, 1000), (8, 64, 3000), (8, 64, 4099), (4, 64, 10007), (1, 64, 40000),
)  # fmt: skip


def composed(u, k, D):  # noqa: N803
    """What everybody writes; also with half inputs, which torch.fft does not take on CPUs."""
    length = u.shape[-1]
    x = u.float()
    spectrum = torch.fft.rfft(x, n=2 * length) * torch.fft.rfft(k.float(), n=2 * length)
    y = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
    return (y + D.unsqueeze(-1) * x).to(u.dtype)


PEERS = {"torch.fft": composed, "ours": long_conv}


def arguments(size, dtype):
    batch, heads, length = size
    torch.manual_seed(0)
    return leaves(
        {
            "u": torch.randn(batch, heads, length).to(dtype),
            "k": torch.randn(heads, length) / length**0.5,
            "D": torch.randn(heads),
        }
    )


def resident(field: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024


def measure_memory(name: str, size, dtype, threads: int) -> int:
    """In a fresh process: bytes that forward and backward need beside the arguments."""
    torch.set_num_threads(threads)
    for _ in range(2):  # everything is loaded that loads late
        small = arguments((2, 2, 500), dtype)
        PEERS[name](**small).backward(torch.ones(2, 2, 500, dtype=dtype))
    args = arguments(size, dtype)
    grad = torch.randn(size).to(dtype)
    ctypes.CDLL(None).malloc_trim(0)
    before = resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    PEERS[name](**args).backward(grad)
    return resident("VmHWM") - before


def memory(name: str, size, dtype, threads: int) -> float:
    """Megabytes, from a process of its own."""
    call = [sys.executable, __file__, "--memory", name, *map(str, size), "--dtype", dtype]
    run = subprocess.run([*call, "--threads", str(threads)], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    return int(run.stdout.split()[-1]) / 2**20


def times(size, dtype, count: int) -> list[tuple[float, float, float]]:
    """(torch.fft, ours, their ratio) of forward, and of forward and backward; milliseconds."""
    args = arguments(size, dtype)
    grad = torch.randn(size).to(dtype)

    def forward(function):
        def run():
            with torch.no_grad():
                function(**args)

        return run

    def both(function):
        def run():
            for tensor in args.values():
                tensor.grad = None
            function(**args).backward(grad)

        return run

    found = []
    for kind in (forward, both):
        took = rounds({name: kind(function) for name, function in PEERS.items()}, count)
        theirs, ours = took.values()
        ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
        found.append((1e3 * statistics.median(theirs), 1e3 * statistics.median(ours), ratio))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="long convolutions beside torch.fft")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--memory", nargs=4, metavar=("NAME", "B", "H", "L"), help="see memory()")
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    if options.memory:
        name, *size = options.memory
        print(measure_memory(name, tuple(map(int, size)), dtype, options.threads[0]))
        return
    print(f"torch {torch.__version__}, {platform.machine()}, {native_status().reason}")
    for size in SIZES:
        check(operators()["long_conv"], PEERS, arguments(size, dtype), dtype)
    for threads in options.threads:
        torch.set_num_threads(threads)
        print(f"\n{options.dtype}, {threads} thread(s); ms, MB; ratio: torch.fft / ours")
        print(f"{'(B, H, L)':20}{'forward':>22}{'forward, backward':>30}{'memory':>26}")
        for size in SIZES:
            count = options.rounds if size[0] * size[1] * size[2] < 4 << 20 else 5
            cells = [f"{a:10.2f}{b:9.2f}{r:6.1f}x" for a, b, r in times(size, dtype, count)]
            theirs, ours = (memory(name, size, options.dtype, threads) for name in PEERS)
            cells.append(f"{theirs:10.1f}{ours:8.1f}{theirs / ours:6.1f}x")
            print(f"{size!s:20}" + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
