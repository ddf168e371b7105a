"""C++ text to a loaded shared library: the just-in-time compiler of generated kernels."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from kernelmill.backends.base import BuildError

COMPILE_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-fPIC")
ERROR_LINES = 12
_DIGEST = hashlib.sha256().digest_size


def compile_cpp(
    source: str,
    *,
    flags: Sequence[str] = (),
    fast_math: bool = False,
    name: str | None = None,
) -> ctypes.CDLL:
    """Compile C++17 text with g++ and load it.

    OpenMP directives are compiled but no OpenMP runtime is linked: undefined ``GOMP_*`` symbols
    resolve to the runtime that torch has loaded, so ``torch.set_num_threads`` is obeyed.

    Args:
        source: the text; export functions with ``extern "C"``.
        flags: further compiler flags, after ``-O3 -march=native -std=c++17 -fopenmp -fPIC``.
        fast_math: add ``-ffast-math`` (drops NaN, infinity and order of sums).
        name: prefix of the file in the cache, for people.

    Returns:
        The library. Cached by content (source, flags, compiler, processor) in
        ``$KERNELMILL_CACHE`` or ``~/.cache/kernelmill``; a damaged cache entry is built anew.

    Raises:
        BuildError: there is no g++, or the text does not compile (the compiler's first lines).
        TypeError: an argument is of the wrong type.

    Example:
        >>> lib = compile_cpp('extern "C" int twice(int x) { return 2 * x; }')
        >>> lib.twice(21)
        42
    """
    if not isinstance(source, str):
        raise TypeError(f"source: got {type(source).__name__}, want a string of C++ text")
    if isinstance(flags, str) or not all(isinstance(flag, str) for flag in flags):
        raise TypeError(f"flags: got {flags!r}, want a sequence of strings")
    import torch  # noqa: F401  (loads the OpenMP runtime that the library resolves to)

    compiler, version = find_compiler()
    options = (*COMPILE_FLAGS, *(("-ffast-math",) if fast_math else ()), *flags)
    key = _key(source, options, version)
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:40] + "-" if name else ""
    for folder in cache_folders():
        path = folder / f"{stem}{key[:32]}.so"
        library = _load(path)
        if library is not None:
            return library
        try:
            folder.mkdir(parents=True, exist_ok=True)
            build = tempfile.TemporaryDirectory(prefix=".build-", dir=folder)
        except OSError:
            continue
        with build as scratch:
            fresh = _build(compiler, source, options, Path(scratch))
            os.replace(fresh, path)
        return ctypes.CDLL(str(path))
    raise BuildError(f"no writable cache folder among {', '.join(map(str, cache_folders()))}")


def cache_folders() -> tuple[Path, ...]:
    """Where libraries are kept: the first writable one of the user's cache and a private
    temporary folder (a sandbox may forbid the former)."""
    chosen = os.environ.get("KERNELMILL_CACHE")
    try:
        home = Path(chosen) if chosen else Path.home() / ".cache" / "kernelmill"
    except RuntimeError:
        home = None
    spare = Path(tempfile.gettempdir()) / f"kernelmill-{os.getuid()}"
    return tuple(folder for folder in (home, spare) if folder is not None)


def find_compiler() -> tuple[str, str]:
    """Path and version text of the C++ compiler (``$CXX``, else ``g++``).

    Raises:
        BuildError: there is none.
    """
    wanted = os.environ.get("CXX") or "g++"
    path = shutil.which(wanted)
    if path is None:
        raise BuildError(
            f"no C++ compiler: {wanted!r} is not on the PATH; install g++ "
            "(Debian, Ubuntu: apt-get install g++)"
        )
    return path, _version(path)


@lru_cache
def _version(path: str) -> str:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.stdout else path


@lru_cache
def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        import platform

        return platform.processor() or platform.machine()
    wanted = ("flags", "Features", "cpu family", "model", "vendor_id")
    lines = {line for line in text.splitlines() if line.split("\t")[0].strip() in wanted}
    return "\n".join(sorted(lines))


def _key(source: str, options: Sequence[str], version: str) -> str:
    parts = "\0".join((source, *options, version, _processor()))
    return hashlib.sha256(parts.encode()).hexdigest()


def _build(compiler: str, source: str, options: Sequence[str], folder: Path) -> Path:
    """Compile and link in ``folder``. The digest of the library is appended to it (the loader
    ignores what follows an ELF image), so that a damaged file is known before it is mapped."""
    text, object_file, library = (folder / f"kernel.{suffix}" for suffix in ("cpp", "o", "so"))
    text.write_text(source, encoding="utf-8")
    _run([compiler, *options, "-c", str(text), "-o", str(object_file)], folder)
    _run([compiler, "-shared", str(object_file), "-o", str(library)], folder)
    with library.open("rb+") as file:
        digest = hashlib.sha256(file.read()).digest()
        file.write(digest)
    return library


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise BuildError(f"cannot run {command[0]}: {error}") from error
    if done.returncode == 0:
        return
    lines = [line.replace(f"{folder}/", "") for line in done.stderr.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if "error" in line), 0)
    shown = "\n".join(lines[first : first + ERROR_LINES]) or f"exit status {done.returncode}"
    raise BuildError(f"g++ refused the source:\n{shown}")


def _load(path: Path) -> ctypes.CDLL | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) <= _DIGEST or hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
        return None
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None
