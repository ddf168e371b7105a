"""Golden vectors: copies under tests/goldens/<system> of the project's shared ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

FOLDER = Path(__file__).parent / "goldens"


def names(system: str) -> list[str]:
    """The golden files of a system, without suffix."""
    found = sorted(path.stem for path in (FOLDER / system).glob("*.safetensors"))
    assert found, f"no golden vectors in {FOLDER / system}"
    return found


def load(system: str, name: str) -> dict[str, Tensor]:
    """Tensors of one golden file, such as ``input/tokens``."""
    from safetensors.torch import load_file

    return load_file(FOLDER / system / f"{name}.safetensors")


def config(system: str, name: str) -> dict[str, Any]:
    """The parameters of one golden file, from its metadata."""
    from safetensors import safe_open

    with safe_open(FOLDER / system / f"{name}.safetensors", "pt") as file:
        return json.loads((file.metadata() or {}).get("config", "{}"))


def state(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict in a golden file."""
    return {key[6:]: value for key, value in golden.items() if key.startswith("state/")}
