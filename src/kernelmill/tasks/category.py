"""A category word for a task, from the operators that its reference dispatches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kernelmill.tasks.tracing import Trace, probe

if TYPE_CHECKING:
    from kernelmill.tasks.program import Program

CATEGORIES = (
    "softmax norm matmul conv pool activation reduce loss scan attention index resize rnn fused "
    "network other"
).split()
NETWORK_ANCHORS = 8

FAMILIES = {
    "attention": "_scaled_dot_product _flash_attention _efficient_attention "
    "_native_multi_head_attention",
    "conv": "convolution mkldnn_convolution conv_depthwise _slow_conv",
    "rnn": "mkldnn_rnn_layer lstm gru _thnn_fused",
    "matmul": "mm addmm bmm baddbmm addmv mv dot addbmm",
    "norm": "native_layer_norm native_batch_norm _native_batch_norm native_group_norm "
    "_batch_norm batch_norm cudnn_batch_norm _fused_rms_norm norm linalg_vector_norm renorm",
    "softmax": "_softmax _log_softmax",
    "pool": "max_pool avg_pool _adaptive_avg_pool adaptive_max_pool fractional_max_pool",
    "loss": "nll_loss mse_loss smooth_l1_loss huber_loss binary_cross_entropy soft_margin_loss "
    "multi_margin_loss multilabel_margin_loss _ctc_loss",
    "scan": "cumsum cumprod logcumsumexp cummax cummin",
    "resize": "upsample _upsample grid_sampler reflection_pad replication_pad",
    "index": "gather scatter index_select index_add index_copy index_put embedding masked_fill "
    "index take masked_select masked_scatter index_fill",
    "reduce": "sum mean amax amin max min prod argmax argmin var std var_mean std_mean any all "
    "logsumexp median mode kthvalue topk sort aminmax norm",
}
# matched by their whole name, since "mm" or "max" begin others as well
EXACT = {"matmul", "reduce", "norm", "index"}


def family_of(operator: str) -> str | None:
    """The family of a dispatched operator such as ``aten.mm``; ``None``: elementwise or other."""
    name = operator.partition(".")[2].strip("_")
    for family, words in FAMILIES.items():
        for word in words.split():
            word = word.strip("_")
            if name == word or (family not in EXACT and name.startswith(word)):
                return family
            if family == "index" and name.startswith(("scatter", "index", "embedding")):
                return family
    return None


def category_of_operators(
    operators: Iterable[str], scalar_output: bool = False, inputs: int = 1
) -> str:
    """One word of `CATEGORIES`.

    Example:
        >>> category_of_operators(["aten.mm"])
        'matmul'
        >>> category_of_operators(["aten.addmm", "aten.gelu", "aten._softmax"])
        'fused'
    """
    operators = list(operators)
    found = [family for family in map(family_of, operators) if family]
    kinds = set(found)
    if not found:
        return "activation" if operators else "other"
    if sum(kind in ("conv", "matmul", "attention") for kind in found) >= NETWORK_ANCHORS:
        return "network"
    if "loss" in kinds or (scalar_output and inputs > 1 and kinds <= {"reduce", "norm", "softmax"}):
        return "loss"
    names = {name.partition(".")[2] for name in operators}
    if {"gather"} & names and names & {"logsumexp", "_log_softmax"} and kinds <= PICKED:
        return "loss"  # the log-probability of a given class
    products = found.count("matmul")
    if kinds & {"attention"} or (products == 2 and "softmax" in kinds and len(kinds) <= 3):
        return "attention" if not kinds & {"conv", "pool"} else "fused"
    if "rnn" in kinds:
        return "rnn"
    if kinds & {"conv", "matmul"}:
        extra = [kind for kind in operators if family_of(kind) not in ("conv", "matmul")]
        lone = len(kinds) == 1 and not _computes(extra)
        return next(iter(kinds)) if lone else "fused"
    for kind in ("scan", "resize", "softmax", "pool"):
        if kind in kinds:
            return kind
    if "norm" in kinds or _is_norm(operators):
        return "norm"
    return "index" if "index" in kinds else "reduce"


PICKED = {"index", "reduce", "softmax"}
QUIET = ("clone", "copy", "_to_copy", "zeros", "ones", "empty", "full", "arange", "diag", "tril")
QUIET += ("triu", "fill", "contiguous", "empty_like", "zeros_like", "rand", "randn", "cat")


def _computes(operators: Iterable[str]) -> bool:
    names = (name.partition(".")[2].strip("_") for name in operators)
    return any(name not in QUIET and name != "to_copy" for name in names)


def _is_norm(operators: list[str]) -> bool:
    """A reduction whose result scales what it came from: mean of squares, root, division."""
    names = [name.partition(".")[2].strip("_") for name in operators]
    reduces = any(name in ("mean", "sum", "var", "var_mean") for name in names)
    return reduces and any(name in ("rsqrt", "sqrt") for name in names)


def category_of_trace(found: Trace) -> str:
    scalar = len(found.outputs) == 1 and found.outputs[0].elements == 1
    tensors = sum(spec.is_tensor for spec in found.inputs)
    return category_of_operators(found.operators, scalar, tensors)


def category_of(program: Program) -> str:
    """The category of an executed task; ``other`` where its reference cannot be traced."""
    found = probe(program)
    return "other" if found is None else category_of_trace(found)
