"""Run as a program with TRITON_INTERPRET=1: generated Triton text against float64."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import torch

from kernelmill.search.codegen.generate import generate
from kernelmill.search.codegen.schedule import Schedule
from tests.search.codegen.judging import assert_agrees, variants
from tests.search.codegen.models import MODELS

HARD = ("plain", "offset", "constant", "nan", "not contiguous")


def main(folder: Path, names: list[str]) -> None:
    for name in names:
        namespace: dict = {"__name__": "reference"}
        exec(MODELS[name], namespace)
        torch.manual_seed(0)
        model, inputs = namespace["Model"](), namespace["get_inputs"]()
        path = folder / f"generated_{name}.py"
        path.write_text(generate(model, inputs, MODELS[name], Schedule(), "cuda"))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        new = module.ModelNew()
        for label, changed in variants(inputs):
            if label in HARD:
                new.load_state_dict(model.state_dict())
                assert_agrees(model, new, changed, f"{name}, {label}")
        print("agrees:", name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
