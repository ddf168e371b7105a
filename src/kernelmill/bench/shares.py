"""Dividing work between judges."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def shares(items: Iterable[T], workers: int, key: Callable[[T], Hashable]) -> list[list[T]]:
    """At most ``workers`` parts of about the same size; items of one key stay together, since a
    judge keeps what it knows of a task.

    Example:
        >>> shares(["a1", "b1", "a2", "c1"], 2, lambda item: item[0])
        [['a1', 'a2'], ['b1', 'c1']]
    """
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    parts: list[list[T]] = [[] for _ in range(workers)]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(parts, key=len).extend(group)
    return [part for part in parts if part]
