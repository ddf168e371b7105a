"""Checks that ``import kernelmill`` stays light: nothing heavy is imported, and it takes less than
1.5 times as long as ``import torch`` (medians of alternated fresh interpreters)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

HEAVY = (
    "triton jax ray transformers matplotlib sqlalchemy typer rich jinja2 openai fastapi sklearn "
    "scipy pandas torch._inductor torch._dynamo"
).split()
FACTOR = 1.5
ROUNDS = 5


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> int:
    code = f"import sys, kernelmill; print(*[m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    if found:
        print(f"import kernelmill imports {', '.join(found)}", file=sys.stderr)
        return 1
    seconds("import torch")  # warm the page cache
    pairs = [(seconds("import torch"), seconds("import kernelmill")) for _ in range(ROUNDS)]
    torch, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"import torch {torch:.2f} s, import kernelmill {ours:.2f} s (median of {ROUNDS})")
    if ours > FACTOR * torch:
        print(f"import kernelmill takes more than {FACTOR} times as long", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
