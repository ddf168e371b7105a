"""The folder that a generation writes: what was asked, what it cost, and every answer.

``generation.json``: the question's settings. ``answers/<task>/sample_<n>.json``: an answer as it
came. ``<task>/sample_<n>.py``: the candidate in it, as `kernelmill.bench.folder` reads it.
``requests.jsonl``: a line before and a line after each attempt.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernelmill.bench.generation.extract import extract, suffix


class FolderError(ValueError):
    """The folder belongs to other questions, or is in use."""


def write_atomically(path: Path, text: str) -> None:
    """All of it or nothing, whenever the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


class Folder:
    """Opened by one process at a time.

    Args:
        settings: what the answers depend on; a folder with others is refused.

    Raises:
        FolderError: see there.
    """

    def __init__(self, path: str | Path, settings: dict[str, Any]):
        self.path = Path(path)
        self.settings = settings
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / ".lock", "w")  # noqa: SIM115 (held as long as this object)
        try:
            import fcntl

            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on Windows
            pass
        except OSError as error:
            self._lock.close()
            raise FolderError(f"{self.path}: another process is generating into it") from error
        try:
            self._claim()
            self._log = open(self.path / "requests.jsonl", "a+", encoding="utf-8")  # noqa: SIM115
            self._end_torn_line()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()
        self._lock.close()

    def _claim(self) -> None:
        if known := generation_of(self.path):
            wanted = json.loads(json.dumps(self.settings))
            other = [k for k in {**known, **wanted} if known.get(k) != wanted.get(k)]
            if other:
                told = ", ".join(f"{k} {known.get(k)!r} (now {wanted.get(k)!r})" for k in other)
                raise FolderError(f"{self.path}: holds answers to other questions: {told}")
        else:
            self.write_head({})

    def write_head(self, totals: dict[str, Any]) -> None:
        text = json.dumps({"settings": self.settings, "totals": totals}, indent=2)
        write_atomically(self.path / "generation.json", text + "\n")

    def _end_torn_line(self) -> None:
        self._log.seek(0)
        text = self._log.read()
        if text and not text.endswith("\n"):
            self._log.write("\n")
            self._log.flush()

    # -- answers ----------------------------------------------------------------------------

    def _answer(self, task: str, sample: int) -> Path:
        return self.path / "answers" / task / f"sample_{sample}.json"

    def answer(self, task: str, sample: int, prompt: str) -> dict[str, Any] | None:
        """What was answered to this prompt.

        Raises:
            FolderError: the answer is one to another prompt.
        """
        path = self._answer(task, sample)
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise FolderError(f"{path}: cannot be read: {error}") from error
        if found.get("prompt") != prompt:
            raise FolderError(f"{path}: answers another prompt; the task or the template changed")
        return found

    def keep(self, task: str, sample: int, record: dict[str, Any], backend: str) -> bool:
        """Write an answer and its candidate; is there a candidate in it? An answer without code
        becomes one as it stands: it counts as a sample that does not compile."""
        source = extract(record["text"])
        code = source if source is not None else record["text"]
        name = f"sample_{sample}{suffix(code, backend)}"
        write_atomically(self.path / task / name, code)
        # last: where this file is, all is there
        write_atomically(self._answer(task, sample), json.dumps(record, indent=1) + "\n")
        return source is not None

    # -- the ledger -------------------------------------------------------------------------

    def log(self, event: str, **fields: Any) -> None:
        self._log.write(json.dumps({"event": event, **fields}) + "\n")
        self._log.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """Lines of the ledger; one that a kill has torn is left out."""
        self._log.seek(0)
        for line in self._log.read().splitlines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found

    def spent(self) -> tuple[int, int, float]:
        """(requests, tokens, USD) of all earlier attempts; one that was sent and has no end, since
        the process was killed, counts as what had been reserved for it."""
        open_: dict[tuple[str, int], tuple[int, float]] = {}
        lost: list[tuple[int, float]] = []
        requests, tokens, usd = 0, 0, 0.0
        for row in self.events():
            place = (row.get("key", ""), row.get("attempt", 0))
            if row.get("event") == "sent":
                if place in open_:  # a later run asks again
                    lost.append(open_[place])
                open_[place] = (row["reserved_tokens"], row["reserved_usd"])
            elif row.get("event") == "ended":
                most = open_.pop(place, (0, 0.0))
                if str(row.get("status", "")).startswith("http_"):
                    continue
                counts = (row.get("prompt_tokens"), row.get("completion_tokens"))
                requests += 1
                tokens += most[0] if None in counts else sum(counts)
                usd += row.get("usd") or 0.0
        lost += open_.values()
        requests += len(lost)
        tokens += sum(most[0] for most in lost)
        usd += sum(most[1] for most in lost)
        return requests, tokens, usd


def generation_of(path: str | Path) -> dict[str, Any]:
    """The settings of the generation that wrote a folder of candidates; empty where none did.

    Raises:
        FolderError: its ``generation.json`` cannot be read.
    """
    file = Path(path) / "generation.json"
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{file}: cannot be read: {error}") from error


class Cache:
    """Answers by their question, shared by all generations; ``None``: keeps nothing."""

    def __init__(self, path: str | Path | None):
        self.path = Path(path) if path is not None else None

    def _place(self, key: str) -> Path:
        assert self.path is not None
        return self.path / key[:2] / f"{key}.json"

    def get(self, key: str) -> dict[str, Any] | None:
        if self.path is None:
            return None
        try:
            return json.loads(self._place(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a file of somebody else's is as good as none
            return None

    def put(self, key: str, record: dict[str, Any]) -> None:
        if self.path is not None:
            write_atomically(self._place(key), json.dumps(record) + "\n")
