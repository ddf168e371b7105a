"""Result files of KernelBench and MultiKernelBench, both ways."""

import json

import pytest

from kernelmill.bench.metrics import Score
from kernelmill.bench.result import Result
from kernelmill.bench.upstream import UpstreamError, read_baseline, read_results, write_results
from kernelmill.cli.run import run as cli

TASKS = {"softmax": "activation", "mse_loss": "loss", "mine": "x"}
PROBLEMS = {"L1/23": "softmax", "L1/94": "mse_loss"}
KERNELBENCH = {
    "23": [
        {"sample_id": 0, "compiled": True, "correctness": True, "metadata": {"hardware": "L40S"},
         "runtime": 2.0, "runtime_stats": {"mean": 2.0, "std": 0.1, "min": 1.9, "max": 2.2}},
        {"sample_id": 1, "compiled": True, "correctness": False,
         "metadata": {"max_difference": ["0.5"]}, "runtime": -1.0, "runtime_stats": {}},
    ],
    "94": [{"sample_id": 0, "compiled": False, "correctness": False,
            "metadata": {"compilation_error": "expected ';'"}, "runtime": -1.0}],
    "99": [{"sample_id": 0, "compiled": True, "correctness": True, "runtime": 1.0}],
}  # fmt: skip
BASELINE = {"level1": {"23_Softmax.py": {"mean": 3.0, "std": 0.1}, "94_MSELoss.py": None}}
MULTIKERNELBENCH = {
    "softmax": {"compiled": True, "correctness": True, "performance": {"mean": 0.002, "std": 0},
                "hardware": "v2-8"},
    "mse_loss": {"compiled": True, "correctness": False, "performance": None,
                 "correctness_info": "shape"},
    "other": {"compiled": False, "correctness": False, "performance": None, "compile_info": "x"},
}  # fmt: skip


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def test_reads_kernelbench(tmp_path):
    file = put(tmp_path / "eval_results.json", KERNELBENCH)
    times = read_baseline(put(tmp_path / "torch.json", BASELINE), PROBLEMS)
    assert times == {"softmax": 3.0}
    found, notes = read_results(file, TASKS, problems=PROBLEMS, level=1, baseline=times)
    good, wrong, broken = found
    assert (good.task, good.sample, good.correct, good.speedup) == ("softmax", 0, True, 1.5)
    assert wrong.compiled and not wrong.correct and wrong.stage == "cases"
    assert "max_difference" in wrong.message and wrong.candidate_ms is None
    assert not broken.compiled and broken.stage == "build" and "expected ';'" in broken.message
    assert len(notes) == 1 and "L1/99" in notes[0]
    score = Score({"softmax": "activation", "mse_loss": "loss"}, found)
    # of softmax one of two samples is 1.5 times as fast, mse_loss has none
    assert score.fast_p(1.0) == 0.25 and score.fast_p(1.5) == 0


def test_level_has_to_be_said(tmp_path):
    file = put(tmp_path / "eval_results.json", KERNELBENCH)
    with pytest.raises(UpstreamError, match="of which level"):
        read_results(file, TASKS, problems=PROBLEMS)


def test_reads_multikernelbench_and_seconds_of_pallas(tmp_path):
    root = tmp_path / "output" / "pallas" / "add_shot" / "0.0-1.0" / "gpt" / "run1"
    file = put(root / "result.json", MULTIKERNELBENCH)
    times = read_baseline(put(tmp_path / "b.json", {"softmax": {"mean": 0.004}}), None, "pallas")
    found, notes = read_results(file, TASKS, baseline=times)
    good, wrong = found
    assert (good.platform, good.strategy, good.model, good.sample) == (
        "pallas", "add_shot", "gpt", 1,
    )  # fmt: skip
    assert good.candidate_ms == pytest.approx(2.0) and good.speedup == pytest.approx(2.0)
    assert wrong.message == "shape" and wrong.stage == "cases"
    assert "other" in notes[0]
    put(root.parent / "run0" / "result.json", MULTIKERNELBENCH)
    both, _ = read_results(root.parent, TASKS, baseline=times)
    assert [r.sample for r in both if r.task == "softmax"] == [0, 1]


def test_milliseconds_elsewhere(tmp_path):
    file = put(tmp_path / "result.json", MULTIKERNELBENCH)
    found, _ = read_results(file, TASKS, platform="cuda", baseline={"softmax": 0.004})
    assert found[0].candidate_ms == 0.002 and found[0].speedup == pytest.approx(2.0)


@pytest.mark.parametrize("form", ["kernelbench", "multikernelbench"])
@pytest.mark.parametrize("platform", ["cuda", "pallas"])
def test_what_is_written_is_read_again(form, platform, tmp_path):
    made = [
        Result("softmax", "activation", platform, 0, True, True, 1.5, "accept",
               reference_ms=3.0, candidate_ms=2.0),
        Result("softmax", "activation", platform, 1, False, False, None, "error", "build",
               "build_error", "no ;"),
        Result("mse_loss", "loss", platform, 0, True, False, None, "reject", "cases", "mismatch",
               "wrong", reference_ms=1.0, candidate_ms=0.1),
        Result("mine", "x", platform, 0, True, True, 2.0, "accept", reference_ms=2.0,
               candidate_ms=1.0),
    ]  # fmt: skip
    files, left = write_results(made, tmp_path, form, problems=PROBLEMS, hardware="here")
    baseline = next(f for f in files if "baseline" in f.name)
    times = read_baseline(baseline, PROBLEMS, platform)
    results = [f for f in files if f != baseline]
    found = []
    for file in results:
        more, notes = read_results(
            file, TASKS, problems=PROBLEMS, level=1, platform=platform, baseline=times
        )
        found += more
        assert not notes
    kept = [r for r in made if form == "multikernelbench" or r.task != "mine"]
    assert left == ([] if form == "multikernelbench" else ["mine"])
    told = {(r.task, r.sample): (r.compiled, r.correct, r.speedup) for r in found}
    assert told.keys() == {(r.task, r.sample) for r in kept}
    for r in kept:
        compiled, correct, speedup = told[r.task, r.sample]
        assert (compiled, correct) == (r.compiled, r.correct)
        assert speedup == (pytest.approx(r.speedup) if r.speedup else None)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "want a JSON object"), ("{", "no JSON"), ('{"a": 1}', "neither results")],
)
def test_other_files_are_refused(text, message, tmp_path):
    file = tmp_path / "result.json"
    file.write_text(text)
    with pytest.raises(UpstreamError, match=message):
        read_results(file, TASKS)
    with pytest.raises(UpstreamError, match="no such file|No such file"):
        read_results(tmp_path / "none.json", TASKS)
    with pytest.raises(ValueError, match="form must be"):
        write_results([], tmp_path, "csv")


def test_a_baseline_without_times_is_refused(tmp_path):
    with pytest.raises(UpstreamError, match="no mean time"):
        read_baseline(put(tmp_path / "b.json", {"softmax": {"median": 1}}))


def test_import_report_export(tmp_path, capsys):
    file = put(tmp_path / "level1" / "eval_results.json", KERNELBENCH)
    base = put(tmp_path / "torch.json", BASELINE)
    store = ["--store", str(tmp_path / "s.db")]
    command = ["bench", "import", str(file), "--level", "1", "--baseline", str(base)]
    assert cli([*command, "--label", "theirs", *store]) == 0
    assert "4 results" in capsys.readouterr().out  # L1/99 is a task of the suite, too
    assert cli(["bench", "report", "theirs", "--out", str(tmp_path / "r"), *store]) == 0
    assert (
        cli(["bench", "export", "theirs", str(tmp_path / "o"), "--as", "kernelbench", *store]) == 0
    )
    again = json.loads((tmp_path / "o" / "level1" / "eval_results.json").read_text())
    assert [[s["correctness"] for s in again[k]] for k in ("23", "94", "99")] == [
        [True, False], [False], [True],
    ]  # fmt: skip
    assert list(again) == ["23", "94", "99"]
