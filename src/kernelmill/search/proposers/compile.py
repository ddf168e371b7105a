"""Proposer ``compile``: the reference through ``torch.compile`` with other settings.

Freezing (weights as constants of the compiled code) is left out on purpose: the code would go on
with the old weights after ``load_state_dict`` or a write through ``.data``, which no cheap check
can notice, and the evaluator refuses stale weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kernelmill.search.proposers._embed import embed
from kernelmill.search.types import Context, Node
from kernelmill.tasks import Candidate, Task

BASELINE = "torch.compile"

# Settings of inductor, cheap to compile and often useful first.
CPU_OPTIONS: dict[str, dict[str, Any]] = {
    "cpp wrapper": {"cpp_wrapper": True},
    "fused multiply-add": {"cpp.enable_floating_point_contract_flag": "fast"},
    "simd 256": {"cpp.simdlen": 256},
    "max-autotune": {"max_autotune": True},
    "dynamic threads": {"cpp.dynamic_threads": True},
    "large chunks": {"cpp.min_chunk_size": 4096},
    "aggressive fusion": {"aggressive_fusion": True},
    "no epilogue fusion": {"epilogue_fusion": False},
}
CUDA_OPTIONS: dict[str, dict[str, Any]] = {
    "max-autotune": {"max_autotune": True, "coordinate_descent_tuning": True},
    "reduce-overhead": {"triton.cudagraphs": True},
    "max-autotune, graphs": {
        "max_autotune": True,
        "coordinate_descent_tuning": True,
        "triton.cudagraphs": True,
    },
    "combo kernels": {"combo_kernels": True},
    "aggressive fusion": {"aggressive_fusion": True},
    "no epilogue fusion": {"epilogue_fusion": False},
}
# To build and judge one candidate takes about this long.
SECONDS_EACH = 30.0
MOST_OPTIONS = 3
_CONVOLUTION = re.compile(r"\b[Cc]onv(_transpose|Transpose)?[123]d\b|convolution")
_MATMUL = re.compile(r"Linear|matmul|\bmm\b|bmm|einsum|linear|addmm| @ |[Cc]onv")


class CompileProposer:
    """Plain ``torch.compile`` first (``provenance["baseline"]``), then other settings of it, as
    many as the time left allows; asked to improve on one of its own that was accepted, it joins
    further settings to that one's."""

    name = "compile"

    def propose(self, task: Task, parents: Sequence[Node], context: Context) -> Iterable[Candidate]:
        if "inductor" not in context.facts.get("backends", ["inductor"]):
            return
        text = embed(task)
        if text is None:
            return
        if not parents:
            yield make(text, {}, name=BASELINE, baseline=True)
        count = context.seconds_left / SECONDS_EACH - (not parents)
        for number, plan in enumerate(_plans(task, parents, context)):
            if number >= count:
                return
            yield make(text, *plan)


def _plans(
    task: Task, parents: Sequence[Node], context: Context
) -> Iterator[tuple[dict[str, Any], bool, str]]:
    """Arguments of `make` for what is worth a try."""
    table = dict(CUDA_OPTIONS if context.device != "cpu" else CPU_OPTIONS)
    if not _MATMUL.search(task.source):
        table = {k: v for k, v in table.items() if "max_autotune" not in v}
    convolution = bool(_CONVOLUTION.search(task.source))
    if not parents:
        if convolution:
            yield {}, True, f"{BASELINE}: channels last"
        for name, options in table.items():
            yield options, False, f"{BASELINE}: {name}"
        return
    for node in parents:
        facts = node.candidate.provenance
        if facts.get("proposer") != CompileProposer.name or not node.fitness:
            continue
        options, channels_last = dict(facts.get("options", {})), bool(facts.get("channels_last"))
        further = [(n, o) for n, o in table.items() if not set(o) & set(options)]
        context.rng.shuffle(further)
        if convolution and not channels_last:
            yield options, True, f"{node.candidate.name}, channels last"
        for name, extra in further if len(options) < MOST_OPTIONS else ():
            yield {**options, **extra}, channels_last, f"{node.candidate.name}, {name}"


def make(
    reference: str,
    options: dict[str, Any],
    channels_last: bool = False,
    name: str = "",
    baseline: bool = False,
) -> Candidate:
    """A candidate that runs ``Model`` of ``reference`` through ``torch.compile``.

    A function of (model, inputs) is compiled, not the module: state_dict keys stay as they are,
    every instance is served, and weights are read at each call.
    """
    graphs = bool(options.get("triton.cudagraphs"))
    compiled = "torch.compile(_forward)"
    if options:
        compiled = f"torch.compile(_forward, options={options!r})"
    call = "_compiled(self, *args, **kwargs)"
    helpers, constructor = "", ""
    if channels_last:
        # Weights keep the layout through load_state_dict, which copies into them.
        helpers += CHANNELS_LAST
        constructor = CONSTRUCTOR
        call = "_compiled(self, *map(_channels_last, args), **kwargs)"
    if graphs:
        # A CUDA graph writes each result into the memory of the one before.
        helpers += OWN_MEMORY
        call = f"_own({call})"
    source = TEMPLATE.format(
        reference=reference,
        helpers=helpers,
        compiled=compiled,
        constructor=constructor,
        call=call,
    )
    provenance: dict[str, Any] = {"proposer": CompileProposer.name, "options": dict(options)}
    if channels_last:
        provenance["channels_last"] = True
    if baseline:
        provenance["baseline"] = BASELINE
    return Candidate(source, "inductor", name or BASELINE, provenance)


TEMPLATE = """\
{reference}


import torch  # noqa: E402


def _forward(model, *args, **kwargs):
    return Model.forward(model, *args, **kwargs)


_compiled = {compiled}
{helpers}

class ModelNew(Model):
{constructor}    def forward(self, *args, **kwargs):
        return {call}
"""

CHANNELS_LAST = """

def _channels_last(value):
    if isinstance(value, torch.Tensor) and value.dim() in (4, 5):
        layout = torch.channels_last if value.dim() == 4 else torch.channels_last_3d
        return value.contiguous(memory_format=layout)
    return value

"""

CONSTRUCTOR = """\
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for tensor in [*self.parameters(), *self.buffers()]:
            tensor.data = _channels_last(tensor.data)

"""

OWN_MEMORY = """

def _own(value):
    return torch.utils._pytree.tree_map(
        lambda v: v.clone() if isinstance(v, torch.Tensor) else v, value
    )

"""
