"""What the documentation takes from the code when it is built: the operators that are registered,
the options of the commands, and the pages in docs/ops/."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    pages = sorted(p.name for p in (Path(config.docs_dir) / "ops").glob("*.md"))
    if pages:
        config.nav.append({"Operators": [f"ops/{name}" for name in pages]})
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    if "<!-- operators -->" in markdown:
        markdown = markdown.replace("<!-- operators -->", operators(config))
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", commands())
    if "<!-- header -->" in markdown:
        from kernelmill.backends.c_abi import HEADER

        markdown = markdown.replace("<!-- header -->", HEADER.strip())
    return markdown


def operators(config: Any) -> str:
    from kernelmill.ops.registry import operators

    lines = ["| operator | what it computes | kernels | source |", "| --- | --- | --- | --- |"]
    entries = []
    for name, operator in operators().items():
        page = Path(config.docs_dir) / "ops" / f"{name}.md"
        label = (
            f"[`{name}`](../ops/{name}.md)"
            if page.is_file()
            else f"[`{name}`](#{anchor(operator)})"
        )
        kernels = ", ".join(operator.kernels)
        lines.append(f"| {label} | {operator.doc} | {kernels} | {operator.paper} |")
        entries.append(f"::: {operator.function.__module__}.{operator.function.__name__}")
    return "\n".join(lines) + "\n\n" + "\n\n".join(entries)


def anchor(operator: Any) -> str:
    return f"{operator.function.__module__}.{operator.function.__name__}"


def commands() -> str:
    import typer

    from kernelmill.cli.app import app

    found: list[str] = []
    _describe(typer.main.get_command(app), "kernelmill", found)
    return "\n\n".join(found)


def _describe(command: Any, path: str, found: list[str]) -> None:
    children = getattr(command, "commands", None)
    if path != "kernelmill":
        found.append(f"## `{path}`")
    found.append(_plain(command.help))
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        names = ", ".join(f"`{name}`" for name in parameter.opts)
        if parameter.param_type_name == "argument":
            names = f"`{parameter.metavar or parameter.name.upper()}`"
        elif parameter.metavar:
            names = f"`{parameter.opts[0]} {parameter.metavar}`"
        default = getattr(parameter, "default", None)
        shown = f" (default `{default}`)" if default not in (None, False, "", ()) else ""
        rows.append(f"| {names} | {_plain(getattr(parameter, 'help', ''))}{shown} |")
    if rows:
        found.append("\n".join(["| argument, option | |", "| --- | --- |", *rows]))
    for name, child in (children or {}).items():
        _describe(child, f"{path} {name}", found)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
