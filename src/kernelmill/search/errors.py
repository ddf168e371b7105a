"""What can go wrong around a search."""

from __future__ import annotations


class SearchError(Exception):
    """A search cannot start or go on; the sentence says why and what to do."""


class StoreError(SearchError):
    """The store cannot be used: its location, driver, content or version."""


class StoreMismatch(StoreError):
    """The store holds something else than what was asked for (unknown run, another task)."""


class WinnerError(SearchError):
    """A winner's folder is incomplete, was changed after it was proven, or does not fit."""


class Interrupted(SearchError):
    """Ctrl-C: everything learnt so far is in the store and the run can be resumed.

    Attributes:
        run_id: what to resume.
        store: where it lies.
        best: best fitness so far.
    """

    def __init__(self, run_id: str, store: str = "", best: float = 1.0):
        super().__init__(
            f"interrupted; run {run_id} is saved in {store or 'the store'} and can be resumed"
        )
        self.run_id = run_id
        self.store = store
        self.best = best
