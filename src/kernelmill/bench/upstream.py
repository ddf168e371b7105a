"""Result files of KernelBench and MultiKernelBench, read and written.

Their scripts read what we write, and our reports, metrics and comparisons take what they wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelmill.bench.result import Result

SECONDS = {"pallas"}  # platforms whose times MultiKernelBench gives in seconds


class UpstreamError(ValueError):
    """A file is not of a form that is known."""


def read_results(
    path: str | Path,
    tasks: Mapping[str, str],
    *,
    problems: Mapping[str, str] | None = None,
    level: int | None = None,
    platform: str = "cuda",
    baseline: Mapping[str, float] | None = None,
) -> tuple[list[Result], list[str]]:
    """Samples of an ``eval_results.json`` (KernelBench) or ``result.json`` (MultiKernelBench), and
    a sentence for each entry that is of none of the tasks.

    Args:
        path: the file; for MultiKernelBench also a folder of ``run<n>`` folders, sample by sample.
        tasks: name to category. problems: ``L1/23`` to task name, for KernelBench.
        level: of the problems in the file, for KernelBench.
        platform: of all samples; where the path is MultiKernelBench's
            (``<language>/<strategy>/<sampling>/<model>/run<n>``) the path decides.
        baseline: reference time in ms by task (`read_baseline`): gives speed-ups.

    Raises:
        UpstreamError: the file is no JSON, of no known form, or a level is wanted.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("run*/result*.json"), key=lambda f: (_run(f), f.name))
        files = files or sorted(path.glob("result*.json")) or sorted(path.glob("eval_results.json"))
        if not files:
            raise UpstreamError(f"{path}: has no result.json, run*/result.json, eval_results.json")
        found: list[Result] = []
        notes: list[str] = []
        for file in files:
            more, said = read_results(
                file, tasks, problems=problems, level=level, platform=platform, baseline=baseline
            )
            found += more
            notes += said
        return found, notes
    data = _load(path)
    if data and all(isinstance(value, list) for value in data.values()):
        return _of_kernelbench(path, data, tasks, problems or {}, level, platform, baseline or {})
    if all(isinstance(value, dict) and "compiled" in value for value in data.values()):
        return _of_multikernelbench(path, data, tasks, platform, baseline or {})
    raise UpstreamError(f"{path}: neither results of KernelBench nor of MultiKernelBench")


def read_baseline(
    path: str | Path, problems: Mapping[str, str] | None = None, platform: str = "cuda"
) -> dict[str, float]:
    """Reference times in ms by task, of a baseline file.

    KernelBench's is ``level<n>`` to file name to statistics (``null`` where it did not run),
    MultiKernelBench's task to statistics.

    Raises:
        UpstreamError: neither.
    """
    data = _load(Path(path))
    found: dict[str, float] = {}
    for key, value in data.items():
        if key.startswith("level") and key[5:].isdigit() and isinstance(value, dict):
            for file, stats in value.items():
                name = (problems or {}).get(f"L{key[5:]}/{file.split('_', 1)[0]}")
                if name and stats is not None:
                    found[name] = _mean(path, file, stats)
        elif isinstance(value, (dict, int, float)) and not isinstance(value, bool):
            found[key] = _mean(path, key, value) * (1e3 if platform in SECONDS else 1.0)
        elif value is not None:
            raise UpstreamError(f"{path}: {key} is no time but {value!r}")
    return found


def to_kernelbench(
    results: Iterable[Result], problems: Mapping[str, str]
) -> tuple[dict[int, dict[str, list[dict[str, Any]]]], list[str]]:
    """``eval_results.json`` by level, and the tasks that are no problem of KernelBench."""
    ids = {task: problem for problem, task in problems.items()}
    levels: dict[int, dict[str, list[dict[str, Any]]]] = {}
    left: set[str] = set()
    for result in sorted(results, key=lambda r: (r.task, r.sample)):
        if result.task not in ids:
            left.add(result.task)
            continue
        level, problem = ids[result.task][1:].split("/")
        levels.setdefault(int(level), {}).setdefault(problem, []).append(
            {
                "sample_id": result.sample,
                "compiled": result.compiled,
                "correctness": result.correct,
                "metadata": _metadata(result),
                "runtime": -1.0 if result.candidate_ms is None else result.candidate_ms,
                "runtime_stats": _stats(result.candidate_ms),
                "ref_runtime": -1.0 if result.reference_ms is None else result.reference_ms,
                "ref_runtime_stats": _stats(result.reference_ms),
            }
        )
    for samples in levels.values():
        samples.update({key: samples.pop(key) for key in sorted(samples, key=int)})
    return levels, sorted(left)


def to_multikernelbench(results: Iterable[Result], hardware: str = "") -> dict[int, dict[str, Any]]:
    """``result.json`` by sample."""
    runs: dict[int, dict[str, Any]] = {}
    for result in sorted(results, key=lambda r: (r.sample, r.task)):
        scale = 1e-3 if result.platform in SECONDS else 1.0
        timed = result.correct and result.candidate_ms is not None
        made: dict[str, Any] = {
            "compiled": result.compiled,
            "correctness": result.correct,
            "performance": _stats((result.candidate_ms or 0.0) * scale) if timed else None,
            "hardware": hardware or None,
        }
        if not result.compiled:
            made["compile_info"] = result.message or result.code
        elif not result.correct:
            made["correctness_info"] = result.message or result.code
        runs.setdefault(result.sample, {})[result.task] = made
    return runs


def write_results(
    results: Sequence[Result],
    folder: str | Path,
    form: str,
    *,
    problems: Mapping[str, str] | None = None,
    hardware: str = "",
) -> tuple[list[Path], list[str]]:
    """Write results and the baseline that their speed-ups belong to.

    Args:
        form: ``kernelbench``: ``level<n>/eval_results.json`` and ``baseline_time_torch.json``;
            ``multikernelbench``: ``<platform>/run<n>/result.json``, ``<platform>/baseline.json``.

    Returns:
        The files, and the tasks that the form has no place for.

    Raises:
        ValueError: ``form`` is unknown.
    """
    folder = Path(folder)
    texts: dict[Path, Any] = {}
    left: list[str] = []
    if form == "kernelbench":
        platforms = {r.platform for r in results}
        for platform in sorted(platforms):
            chosen = [r for r in results if r.platform == platform]
            levels, left = to_kernelbench(chosen, problems or {})
            place = folder / platform if len(platforms) > 1 else folder
            for level, samples in sorted(levels.items()):
                texts[place / f"level{level}" / "eval_results.json"] = samples
        texts[folder / "baseline_time_torch.json"] = _kernelbench_baseline(results, problems or {})
    elif form == "multikernelbench":
        for platform in sorted({r.platform for r in results}):
            chosen = [r for r in results if r.platform == platform]
            for run, entries in to_multikernelbench(chosen, hardware).items():
                texts[folder / platform / f"run{run}" / "result.json"] = entries
            scale = 1e-3 if platform in SECONDS else 1.0
            times = {r.task: r.reference_ms for r in chosen if r.reference_ms is not None}
            texts[folder / platform / "baseline.json"] = {
                task: _stats(ms * scale) for task, ms in sorted(times.items())
            }
    else:
        raise ValueError(f"form must be kernelbench or multikernelbench, got {form!r}")
    for path, data in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    return list(texts), left


def _kernelbench_baseline(
    results: Iterable[Result], problems: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    ids = {task: problem for problem, task in problems.items()}
    levels: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.reference_ms is not None and result.task in ids:
            level, problem = ids[result.task][1:].split("/")
            place = levels.setdefault(f"level{level}", {})
            place[f"{problem}_{result.task}.py"] = _stats(result.reference_ms)
    return levels


def _of_kernelbench(
    path: Path,
    data: dict[str, list[dict[str, Any]]],
    tasks: Mapping[str, str],
    problems: Mapping[str, str],
    level: int | None,
    platform: str,
    baseline: Mapping[str, float],
) -> tuple[list[Result], list[str]]:
    if level is None:
        raise UpstreamError(f"{path}: numbers of problems; say of which level")
    found, notes = [], []
    for number, samples in data.items():
        task = problems.get(f"L{level}/{number}")
        if task is None or task not in tasks:
            notes.append(f"{path}: the suite has no problem L{level}/{number}")
            continue
        for i, sample in enumerate(samples):
            runtime = float(sample.get("runtime") or -1.0)
            reference = baseline.get(task) or float(sample.get("ref_runtime") or -1.0)
            info = sample.get("metadata") or {}
            found.append(
                _result(
                    task, tasks[task], platform, int(sample.get("sample_id", i)),
                    bool(sample.get("compiled")), bool(sample.get("correctness")),
                    runtime, reference, "; ".join(f"{k}: {v}" for k, v in info.items())[:2000],
                )
            )  # fmt: skip
    return found, notes


def _of_multikernelbench(
    path: Path,
    data: dict[str, dict[str, Any]],
    tasks: Mapping[str, str],
    platform: str,
    baseline: Mapping[str, float],
) -> tuple[list[Result], list[str]]:
    parts = path.absolute().parts
    sample, fields = _run(path), {}
    if parts[-2].startswith("run") and len(parts) > 6 and "-" in parts[-4]:
        platform = parts[-6]
        fields = {"strategy": parts[-5], "model": parts[-3]}
    found, notes = [], []
    for task, entry in data.items():
        if task not in tasks:
            notes.append(f"{path}: the suite has no task {task!r}")
            continue
        runtime = -1.0
        if entry.get("performance") is not None:
            scale = 1e3 if platform in SECONDS else 1.0
            runtime = _mean(path, task, entry["performance"]) * scale
        info = entry.get("compile_info") or entry.get("correctness_info") or ""
        found.append(
            _result(
                task, tasks[task], platform, sample, bool(entry["compiled"]),
                bool(entry.get("correctness")), runtime, baseline.get(task, -1.0), str(info)[:2000],
                **fields,
            )
        )  # fmt: skip
    return found, notes


def _result(
    task: str, category: str, platform: str, sample: int, compiled: bool, correct: bool,
    runtime: float, reference: float, message: str, **fields: str,
) -> Result:  # fmt: skip
    timed = correct and runtime > 0
    stage = "" if correct else "cases" if compiled else "build"
    return Result(
        task=task,
        category=category,
        platform=platform,
        sample=sample,
        compiled=compiled,
        correct=correct,
        speedup=reference / runtime if timed and reference > 0 else None,
        status="accept" if correct else "reject",
        stage=stage,
        code="" if correct else "upstream",
        message="" if correct else message,
        reference_ms=reference if reference > 0 else None,
        candidate_ms=runtime if timed else None,
        **fields,
    )


def _metadata(result: Result) -> dict[str, Any]:
    said = {"statistic": "median", "platform": result.platform, "status": result.status}
    if result.code:
        said |= {"stage": result.stage, "reason": result.code, "message": result.message}
    return said


def _stats(ms: float | None) -> dict[str, Any]:
    return {} if ms is None else {"mean": ms, "statistic": "median"}


def _mean(path: str | Path, key: str, stats: Any) -> float:
    value = stats.get("mean") if isinstance(stats, dict) else stats
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise UpstreamError(f"{path}: {key} has no mean time, got {stats!r}")
    return float(value)


def _run(path: Path) -> int:
    name = path.parent.name
    return int(name[3:]) if name.startswith("run") and name[3:].isdigit() else 0


def _load(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UpstreamError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UpstreamError(f"{path}: no JSON ({error})") from error
    if not isinstance(data, dict):
        raise UpstreamError(f"{path}: want a JSON object, got a {type(data).__name__}")
    return data
