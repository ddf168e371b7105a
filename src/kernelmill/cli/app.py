"""The commands and their options. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kernelmill.cli.bench.app import app as bench
from kernelmill.cli.options import Json, Seed, Store, Threads

app = typer.Typer(
    name="kernelmill",
    help="Bring a PyTorch operator, leave with a faster one that is proven right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs = typer.Typer(help="Look at past runs and their candidates.", no_args_is_help=True)
app.add_typer(runs, name="runs")
app.add_typer(bench, name="bench")

Reference = Annotated[
    str, typer.Argument(help="A problem file, a task folder, or module:attr.", metavar="REFERENCE")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Replace a module-level constant."),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id (kernelmill runs list).")]


def _version(wanted: bool) -> None:
    if wanted:
        import kernelmill

        typer.echo(f"kernelmill {kernelmill.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None: ...


@app.command()
def doctor(json: Json = False) -> int:
    """Say what works on this machine, what does not, what that costs and what to install."""
    from kernelmill.cli.doctor import main

    return main(json)


@app.command()
def evaluate(
    reference: Reference,
    candidate: Annotated[Path, typer.Argument(help="The candidate's file.", metavar="CANDIDATE")],
    backend: Annotated[
        str | None, typer.Option(help="Backend; default: from the suffix and the text.")
    ] = None,
    set_: Set = None,
    no_timing: Annotated[
        bool, typer.Option("--no-timing", help="Judge correctness alone.")
    ] = False,
    backward: Annotated[bool, typer.Option("--backward", help="Compare gradients, too.")] = False,
    require_sandbox: Annotated[
        bool, typer.Option("--require-sandbox", help="Refuse to run with less isolation.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what is reported as a warning otherwise.")
    ] = False,
    seed: Seed = None,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Judge a candidate. Exit code 0: accepted, 1: rejected, 2: unusable arguments or a broken
    reference."""
    from kernelmill.cli.evaluate import main

    return main(
        reference,
        candidate,
        backend=backend,
        settings=set_ or [],
        as_json=json,
        timing=not no_timing,
        backward=True if backward else None,
        require_sandbox=require_sandbox,
        policy="strict" if strict else "standard",
        seed=seed,
        threads=threads,
    )


@app.command()
def lint(reference: Reference, set_: Set = None, json: Json = False) -> int:
    """Judge a task instead of a candidate: can it be tested? Exit code 0: ok, 1: weak or
    untestable, 2: unusable."""
    from kernelmill.cli.evaluate import lint as main

    return main(reference, set_ or [], json)


@app.command()
def optimize(
    reference: Annotated[
        str | None,
        typer.Argument(help="A problem file, a task folder, or module:attr.", metavar="REFERENCE"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for the search: 5m, 1h; default 60s, or what a run has left."),
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Take candidates of this backend only; repeatable.")
    ] = None,
    proposer: Annotated[
        list[str] | None, typer.Option(help="Ask this proposer only; repeatable.")
    ] = None,
    store: Store = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run; REFERENCE may be left out.")
    ] = None,
    set_: Set = None,
    policy: Annotated[str, typer.Option(help="How parents are chosen.")] = "uct",
    seed: Annotated[int, typer.Option(help="Of the search's own draws.")] = 0,
    threads: Threads = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the winner and the report.")] = None,
    backward: Annotated[bool, typer.Option("--backward", help="Compare gradients, too.")] = False,
    require_sandbox: Annotated[
        bool, typer.Option("--require-sandbox", help="Refuse to run with less isolation.")
    ] = False,
    json: Json = False,
) -> int:
    """Search for a faster kernel. Prints a table and writes the winner and an HTML report."""
    from kernelmill.cli.optimize import main

    return main(
        reference,
        budget=budget,
        backends=backend,
        proposers=proposer,
        store=store,
        resume=resume,
        settings=set_ or [],
        policy=policy,
        seed=seed,
        threads=threads,
        out=out,
        backward=backward,
        require_sandbox=require_sandbox,
        as_json=json,
    )


@app.command("kv-eval")
def kv_eval(
    model: Annotated[str, typer.Option(help="Folder or hub name of a transformers model.")],
    text: Annotated[Path, typer.Option(help="A text file, in UTF-8.")],
    press: Annotated[
        str, typer.Option(help="kvmerger, h2o, snapkv, streaming or random.")
    ] = "kvmerger",
    ratio: Annotated[float, typer.Option(help="Share of the cache that stays.")] = 0.5,
    prefix: Annotated[int, typer.Option(help="Tokens that are compressed.")] = 512,
    new: Annotated[int, typer.Option(help="Tokens behind them, which are scored.")] = 128,
    windows: Annotated[int, typer.Option(help="At most so many pieces of the text.")] = 8,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Compress a language model's key-value cache: perplexity, attention error, memory, time."""
    from kernelmill.cli.kv_eval import main

    return main(
        model,
        text,
        press,
        ratio,
        prefix=prefix,
        new=new,
        windows=windows,
        threads=threads,
        as_json=json,
    )


@runs.command("list")
def runs_list(store: Store = None, json: Json = False) -> int:
    """List the runs of a store, newest first."""
    from kernelmill.cli.runs import list_ as main

    return main(store, json)


@runs.command("show")
def runs_show(run: RunId, store: Store = None, json: Json = False) -> int:
    """Show a run and its candidates."""
    from kernelmill.cli.runs import show_ as main

    return main(run, store, json)


@runs.command("export")
def runs_export(
    run: RunId,
    out: Annotated[str, typer.Option(help="File; '-' is standard output.")] = "-",
    store: Store = None,
) -> int:
    """Write a run as JSON lines."""
    from kernelmill.cli.runs import export as main

    return main(run, out, store)


@runs.command("delete")
def runs_delete(
    run: RunId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: Store = None,
) -> int:
    """Delete a run. Evaluations stay: they serve other runs of the same task."""
    from kernelmill.cli.runs import delete as main

    return main(run, yes, store)
