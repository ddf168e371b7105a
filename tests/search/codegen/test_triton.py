"""Generated Triton text, interpreted: a process of its own, since Triton looks at
``TRITON_INTERPRET`` when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernelmill.search.codegen.generate import generate
from kernelmill.search.codegen.ir import Unsupported
from kernelmill.search.codegen.schedule import Schedule
from tests.search.codegen.models import MODELS

pytest.importorskip("triton")
ROOT = Path(__file__).parents[3]
NAMES = ["activations", "softmax", "norms", "losses", "shapes", "group_norm", "batch_norm"]
NAMES += ["fused_pooling", "cross_entropy", "elementwise"]


def test_interpreted_kernels_agree_with_float64(tmp_path):
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.codegen.interpret", str(tmp_path), *NAMES],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("agrees: ")[1:] == [f"{name}\n" for name in NAMES]


def text_of(name: str) -> str:
    namespace: dict = {"__name__": "reference"}
    exec(MODELS[name], namespace)
    torch.manual_seed(0)
    model, inputs = namespace["Model"](), namespace["get_inputs"]()
    return generate(model, inputs, MODELS[name], Schedule(), "cuda")


def test_a_normalisation_is_one_program_per_row():
    text = text_of("group_norm")
    assert text.count("[(") == 1 and "_k0[(6,)]" in text


def test_what_is_no_row_kernel_stays_a_torch_call():
    assert "aten.cumsum" in text_of("scans")
    with pytest.raises(Unsupported):
        text_of("long_rows")
