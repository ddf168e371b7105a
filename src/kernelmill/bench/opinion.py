"""robust-kbench's last filter: a language model's opinion on a reference. A note, not a filter: of
the published opinions on 200 tasks, 74 say "inefficient"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

QUESTION = """\
This PyTorch program is the baseline of a benchmark of kernels. Read it.

1. Has it operations that can be left out without changing its output (redundant)?
2. Is it written so that it does much more work or memory traffic than its result needs, beyond what
   running operators one by one costs anyway (inefficient)?

Give your reasons, then end with exactly these two lines, each with True or False:
REDUNDANT: ...
INEFFICIENT: ...

{reference}"""


@dataclass(frozen=True)
class Opinion:
    """``None`` where the answer does not say it in the form that was asked for."""

    redundant: bool | None
    inefficient: bool | None
    text: str


def opinion(ask: Callable[[list[dict[str, str]]], str], reference: str) -> Opinion:
    """Ask about one reference.

    Args:
        ask: a chat function: messages of ``role`` and ``content`` to the answer's text.

    Example:
        >>> found = opinion(lambda said: "ReLU twice.\\nREDUNDANT: True\\nINEFFICIENT: no", "...")
        >>> found.redundant, found.inefficient
        (True, None)
    """
    text = ask([{"role": "user", "content": QUESTION.format(reference=reference)}])

    def said(word: str) -> bool | None:
        found = re.findall(rf"^\W*{word}\W*:\W*(True|False)\W*$", text, re.MULTILINE)
        return found[-1] == "True" if found else None

    return Opinion(said("REDUNDANT"), said("INEFFICIENT"), text)
