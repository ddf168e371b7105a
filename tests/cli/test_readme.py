"""The commands that README and docs show are real."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from kernelmill.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language):
    for page in PAGES:
        for match in FENCE.finditer(page.read_text()):
            if match[1] == language:
                yield page.relative_to(ROOT), match[2]


def commands(program):
    found = []
    for page, text in blocks("bash"):
        for line in text.replace("\\\n", " ").splitlines():
            for part in line.split("#")[0].split("&&"):
                words = shlex.split(part)
                if words and words[0] == program:
                    found.append(pytest.param(words[1:], id=f"{page}: {part.strip()}"))
    return found


def test_there_is_something_to_check():
    assert len(commands("kernelmill")) > 5 and len(commands("make")) >= 2


@pytest.mark.parametrize("arguments", commands("make"))
def test_make_targets_exist(arguments):
    done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", commands("kernelmill"))
def test_kernelmill_commands_parse(arguments):
    """Click's parser takes every option and argument, without running anything."""
    command = typer.main.get_command(app)
    context = None
    while True:
        context = command.make_context(command.name, list(arguments), parent=context)
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if not getattr(command, "commands", None):
            break
        _, command, arguments = command.resolve_command(context, rest)
    assert not rest


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)#]+)\)", PAGES[0].read_text()))
def test_links_of_the_readme_lead_somewhere(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(
    "page, text", [pytest.param(p, t, id=f"{p} {n}") for n, (p, t) in enumerate(blocks("python"))]
)
def test_python_examples_parse(page, text):
    ast.parse(text)


def test_files_named_in_commands_exist():
    for page, text in blocks("bash"):
        for path in re.findall(r"\bexamples/[\w/.-]+", text):
            assert (ROOT / path).exists(), f"{page} names {path}"
