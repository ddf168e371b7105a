"""What a model is asked: the right example, never the answer itself."""

import pytest

from kernelmill.bench.prompts import STRATEGIES, example, render
from kernelmill.tasks import Task
from kernelmill.tasks.suites import CATEGORIES, load_suite

SUITE = load_suite("multikernelbench")
HARDWARE = {"CPU": "a made-up one", "cores": 7}


def task(name):
    return SUITE[name]


@pytest.mark.parametrize("backend", ["cpp", "triton"])
@pytest.mark.parametrize("category", [c for c in CATEGORIES if c != "arch"])
def test_the_example_is_of_the_tasks_category(category, backend):
    shown = example(category, backend)
    tasks = [t for t in SUITE if t.category == category and t.name != shown.task.name]
    text = render(tasks[0], backend)
    assert shown.answer.strip() in text and shown.task.source.strip() in text
    assert tasks[0].source.strip() in text and "ModelNew" in text
    assert text.count("a good answer is") == 1


@pytest.mark.parametrize("backend", ["cpp", "triton"])
def test_no_prompt_holds_the_answer(backend):
    for category in (*CATEGORIES, "add"):
        shown = example(category, backend)
        for strategy in STRATEGIES:
            asked = shown.task
            if category == "add" and STRATEGIES[strategy].examples in ("add", "category"):
                continue  # nothing else is left to show
            text = render(asked, backend, strategy, hardware=HARDWARE)
            assert shown.answer.strip() not in text, (category, strategy)


def test_the_same_reference_under_another_name_is_no_way_round():
    shown = example("activation", "triton")
    renamed = Task("mine", '"""Other words."""\n' + shown.task.source, category="activation")
    text = render(renamed, "triton", "category_shot")
    assert shown.answer.strip() not in text
    assert example("add", "triton").answer.strip() in text


def test_add_shot_is_the_fallback():
    add = example("add", "cpp").answer.strip()
    own = Task("x", task("relu").source)  # of no category
    assert add in render(own, "cpp", "category_shot") and add in render(own, "cpp", "add_shot")
    assert add in render(task("relu"), "cpp", "one_shot")
    assert render(task("relu"), "cpp", "selected_shot") == render(task("relu"), "cpp")


def test_strategies_differ_by_what_they_say():
    texts = {name: render(task("relu"), "cpp", name, hardware=HARDWARE) for name in STRATEGIES}
    shown = {name: text.count("a good answer is") for name, text in texts.items()}
    assert shown == {
        "zero_shot": 0, "add_shot": 1, "category_shot": 1, "few_shot": 3, "hardware_aware": 1,
    }  # fmt: skip
    told = {name for name, text in texts.items() if "a made-up one" in text}
    assert told == {"hardware_aware"} and "- cores: 7" in texts["hardware_aware"]
    assert render(task("relu"), "cpp", "few_shot", shots=5).count("a good answer is") == 5


def test_the_machine_is_described_by_default():
    text = render(task("relu"), "cpp", "hardware_aware")
    assert "- CPU:" in text and "- cores:" in text and "torch 2" in text


def test_a_template_of_ones_own(tmp_path):
    file = tmp_path / "mine.j2"
    file.write_text('{% extends "prompt.j2" %}{% block instruction %}Hurry.{% endblock %}')
    text = render(task("relu"), "cpp", template=file)
    assert text.endswith("Hurry.\n") and "class Model(" in text and "Rules:" in text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"strategy": "one-shot"}, "unknown strategy 'one-shot'; known: zero_shot"),
        ({"backend": "cuda"}, "no example for|there is none for backend 'cuda'"),
        ({"strategy": "few_shot", "shots": 99}, "shots: backend cpp has"),
        ({"template": "no/such/file.j2"}, "template: no such file"),
    ],
)
def test_errors(fields, told):
    given = {"backend": "cpp", "strategy": "category_shot", **fields}
    with pytest.raises(ValueError, match=told):
        render(task("relu"), **given)


def test_any_backend_can_be_asked_for_without_an_example():
    for backend in ("cuda", "pallas", "ascendc", "somebodys"):
        text = render(task("relu"), backend, "zero_shot")
        assert "ModelNew" in text and task("relu").source.strip() in text
