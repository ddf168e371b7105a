"""Every operator's Triton kernels against the reference, in Triton's interpreter.

Run with TRITON_INTERPRET=1: ``python -m tests.ops.triton_interpreter``.
"""

from __future__ import annotations

import sys
import traceback

import torch

from kernelmill.ops.registry import operators
from tests.ops import battery


def main() -> int:
    failed = 0
    for op in operators().values():
        if "triton" not in op.kernels:
            continue
        for example in op.examples:
            if example.bench:
                continue
            for dtype in (torch.float32, torch.bfloat16):
                try:
                    battery.parity(op, example, "triton", dtype)
                except Exception:
                    failed += 1
                    print(f"{op.name} {example.name} {dtype}")
                    traceback.print_exc(limit=-3, file=sys.stdout)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
