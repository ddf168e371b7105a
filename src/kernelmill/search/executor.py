"""Where evaluations run. An executor needs two methods; a cluster brings its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol


class Executor(Protocol):
    workers: int

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future: ...

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]: ...


class Inline:
    """Everything in the caller's thread, one after the other: timings are undisturbed.

    Example:
        >>> Inline().submit(max, 1, 2).result()
        2
    """

    workers = 1

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(function, items)


class Threads:
    """Several evaluations at once, for judges that work in other processes."""

    def __init__(self, workers: int):
        if not workers >= 1:
            raise ValueError(f"workers must be at least 1, got {workers!r}")
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="kernelmill")

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future:
        return self._pool.submit(function, *args)

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return self._pool.map(function, items)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
