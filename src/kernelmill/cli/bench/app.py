"""The options of ``kernelmill bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kernelmill.cli.options import Json, Seed, Store, Threads

app = typer.Typer(help="Benchmark: suites of tasks, exploits, metrics.", no_args_is_help=True)

Suite = Annotated[str, typer.Option(help="multikernelbench, robust-kbench or library.")]
Size = Annotated[str, typer.Option(help="small (a laptop), head or paper.")]
Category = Annotated[
    list[str] | None, typer.Option("--category", help="Only this category; repeatable.")
]
Repaired = Annotated[
    bool, typer.Option("--repaired", help="The repaired form of weak tasks, where there is one.")
]

OnlyTask = Annotated[list[str] | None, typer.Option("--task", help="Only this task; repeatable.")]
OfAll = Annotated[
    str | None, typer.Option(help="Of all candidates; default: from suffix and text.")
]
BaseUrl = Annotated[
    str | None, typer.Option(help="Any OpenAI-compatible server, up to /v1; default: OpenAI.")
]
KeyName = Annotated[str, typer.Option(help="Variable that holds the key.")]


@app.command("list")
def list_(
    suite: Suite = "multikernelbench",
    size: Size = "small",
    category: Category = None,
    weak: Annotated[bool, typer.Option("--weak", help="Only tasks with a weak answer.")] = False,
    repaired: Repaired = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every task.")] = False,
    json: Json = False,
) -> int:
    """List a suite: its categories, or its tasks."""
    from kernelmill.cli.bench.browse import list_ as main

    return main(suite, size, category, weak, repaired, verbose, json)


@app.command()
def show(
    task: Annotated[str, typer.Argument(help="A task's name (kernelmill bench list -v).")],
    suite: Suite = "multikernelbench",
    size: Size = "small",
    repaired: Repaired = False,
    json: Json = False,
) -> int:
    """Show a task: facts, cost and its reference."""
    from kernelmill.cli.bench.browse import show as main

    return main(suite, task, size, repaired, json)


@app.command()
def exploits(
    family: Annotated[
        list[str] | None, typer.Option(help="Only this family, or 'honest'; repeatable.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="A folder with cheats/ and honest/ of your own.")
    ] = None,
    timing: Annotated[
        str, typer.Option(help="needed: time what needs the clock; all; none.")
    ] = "needed",
    threads: Threads = 1,
    workers: Annotated[int, typer.Option(min=1, help="Judges side by side.")] = 2,
    seed: Seed = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Honest ones, too.")] = False,
    json: Json = False,
) -> int:
    """Try the evaluator against the exploit catalogue. Exit code 1: a cheat was accepted or an
    honest kernel refused."""
    from kernelmill.cli.bench.exploits import main

    return main(family, folder, timing, threads, workers, seed, verbose, json)


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(help="Where the candidates go.")],
    model: Annotated[str, typer.Option(help="As the server calls it.")],
    base_url: BaseUrl = None,
    backend: Annotated[str, typer.Option(help="What the kernels are to be written in.")] = "cpp",
    strategy: Annotated[
        str,
        typer.Option(help="zero_shot, add_shot, category_shot, few_shot or hardware_aware."),
    ] = "category_shot",
    suite: Suite = "multikernelbench",
    size: Size = "small",
    category: Category = None,
    task: OnlyTask = None,
    repaired: Repaired = False,
    samples: Annotated[int, typer.Option("--samples", "-n", min=1, help="Answers per task.")] = 1,
    temperature: Annotated[float | None, typer.Option(help="Default: the server's.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Default: the server's.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of one answer.")] = 8192,
    shots: Annotated[int, typer.Option(min=1, help="Examples of few_shot.")] = 3,
    template: Annotated[
        Path | None, typer.Option(help="A Jinja file; it may extend prompt.j2.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A field of the request; repeatable."),
    ] = None,
    budget_usd: Annotated[float | None, typer.Option(help="Spend no more; needs prices.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Use no more tokens.")] = None,
    budget_requests: Annotated[int | None, typer.Option(help="Send no more requests.")] = None,
    price_prompt: Annotated[float | None, typer.Option(help="USD per million tokens.")] = None,
    price_completion: Annotated[float | None, typer.Option(help="USD per million tokens.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight together.")] = 8,
    requests_per_minute: Annotated[float | None, typer.Option(help="No faster.")] = None,
    tokens_per_minute: Annotated[float | None, typer.Option(help="No faster, estimated.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="Of a request that fails in passing.")] = 6,
    timeout: Annotated[float, typer.Option(help="Seconds for one answer.")] = 600.0,
    stream: Annotated[bool, typer.Option("--stream", help="Receive answers in pieces.")] = False,
    api_key_env: KeyName = "OPENAI_API_KEY",
    cache: Annotated[Path, typer.Option(help="Answers by question, shared by all folders.")] = Path(
        "kernelmill-runs/answers"
    ),
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask, whatever is known.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the first prompt, ask nothing.")
    ] = False,
    json: Json = False,
) -> int:
    """Ask a language model for candidates. The same command goes on after a kill or a full budget.
    Exit code 1: a sample is missing."""
    from kernelmill.bench.generation import Plan
    from kernelmill.cli.bench.generate import main
    from kernelmill.tasks.suites import load_suite

    tasks = load_suite(suite, size, repaired=repaired, categories=category, tasks=task)
    plan = Plan(
        tasks, backend, strategy, samples, temperature, top_p, max_tokens, shots,
        None if template is None else str(template),
    )  # fmt: skip
    return main(
        folder,
        plan,
        model=model,
        base_url=base_url,
        api_key_env=api_key_env,
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        budget={"usd": budget_usd, "tokens": budget_tokens, "requests": budget_requests},
        prices=(price_prompt, price_completion),
        retries=retries,
        timeout_s=timeout,
        stream=stream,
        cache=None if no_cache else cache,
        options=option or [],
        dry_run=dry_run,
        as_json=json,
    )


@app.command()
def run(
    folder: Annotated[Path, typer.Argument(help="Candidates: <task>/sample_<n>.py and others.")],
    suite: Suite = "multikernelbench",
    size: Size = "small",
    category: Category = None,
    repaired: Repaired = False,
    backend: OfAll = None,
    store: Store = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run: its id or label.")
    ] = None,
    label: Annotated[str, typer.Option(help="A name for the run.")] = "",
    workers: Annotated[
        int, typer.Option(min=1, help="Judges side by side for what needs no clock.")
    ] = 2,
    threads: Threads = None,
    no_timing: Annotated[
        bool, typer.Option("--no-timing", help="Judge correctness alone.")
    ] = False,
    runs: Annotated[
        int, typer.Option(min=7, help="Rounds of timing, three calls each; fewer where settled.")
    ] = 20,
    json: Json = False,
) -> int:
    """Judge a folder of candidates. Reads our own layout, KernelBench runs and MultiKernelBench
    output."""
    from kernelmill.cli.bench.run import main

    return main(
        folder,
        suite=suite,
        size=size,
        repaired=repaired,
        categories=category,
        backend=backend,
        store=store,
        resume=resume,
        label=label,
        workers=workers,
        threads=threads,
        timing=not no_timing,
        runs=runs,
        as_json=json,
    )


@app.command()
def screen(
    folder: Annotated[Path, typer.Argument(help="Candidates, as for kernelmill bench run.")],
    suite: Suite = "multikernelbench",
    size: Size = "small",
    category: Category = None,
    repaired: Repaired = False,
    backend: OfAll = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="0.5 holds back sure faults, 0.7 suspicions, too.")
    ] = 0.5,
    model: Annotated[
        str | None, typer.Option(help="Ask a language model, too, about what passes the rules.")
    ] = None,
    base_url: BaseUrl = None,
    api_key_env: KeyName = "OPENAI_API_KEY",
    run: Annotated[
        str | None, typer.Option(help="A run that judged them: tells what the screen is worth.")
    ] = None,
    store: Store = None,
    json: Json = False,
) -> int:
    """Read candidates without running them: static rules, then a language model. Exit code 1:
    some are held back."""
    from kernelmill.cli.bench.screen import main
    from kernelmill.tasks.suites import load_suite

    tasks = load_suite(suite, size, repaired=repaired, categories=category)
    return main(
        folder, tasks, backend=backend, threshold=threshold, model=model, base_url=base_url,
        api_key_env=api_key_env, run=run, store=store, as_json=json,
    )  # fmt: skip


@app.command()
def baselines(
    suite: Suite = "multikernelbench",
    size: Size = "small",
    category: Category = None,
    repaired: Repaired = False,
    store: Store = None,
    label: Annotated[str, typer.Option(help="A name for the run.")] = "baseline",
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run: its id or label.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Tasks that are compiled at once.")] = 2,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Time eager and torch.compile on every task of a suite."""
    from kernelmill.cli.bench.baselines import main

    return main(
        suite=suite,
        size=size,
        repaired=repaired,
        categories=category,
        store=store,
        label=label,
        resume=resume,
        workers=workers,
        threads=threads,
        as_json=json,
    )


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="A run: its id or label.")],
    after: Annotated[str, typer.Argument(help="Another one.")],
    threshold: Annotated[
        float, typer.Option(min=0, max=0.99, help="Relative change that counts.")
    ] = 0.05,
    store: Store = None,
    json: Json = False,
) -> int:
    """Compare two runs. Exit code 1: something was lost or became slower."""
    from kernelmill.cli.bench.compare import main

    return main(before, after, threshold, store, json)


@app.command()
def leaderboard(
    suite: Annotated[str | None, typer.Option(help="Only runs of this suite.")] = None,
    store: Store = None,
    json: Json = False,
) -> int:
    """List the runs of a store, best first."""
    from kernelmill.cli.bench.compare import leaderboard as main

    return main(suite, store, json)


@app.command()
def report(
    run: Annotated[list[str], typer.Argument(help="Runs to show side by side: ids or labels.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder; default below kernelmill-runs/.")
    ] = None,
    store: Store = None,
    json: Json = False,
) -> int:
    """Write a report: one HTML page, CSV, Markdown, JSON, JUnit and SVG."""
    from kernelmill.cli.bench.report import main

    return main(run, out, store, json)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="eval_results.json, result.json or their folder.")],
    suite: Suite = "multikernelbench",
    size: Size = "paper",
    level: Annotated[int | None, typer.Option(help="Of KernelBench's problem numbers.")] = None,
    platform: Annotated[str, typer.Option(help="Where the path does not say it.")] = "cuda",
    baseline: Annotated[
        Path | None, typer.Option(help="Their file of reference times; gives speed-ups.")
    ] = None,
    label: Annotated[str, typer.Option(help="A name for the run.")] = "",
    store: Store = None,
    json: Json = False,
) -> int:
    """Take results of KernelBench or MultiKernelBench into the store, as a run."""
    from kernelmill.cli.bench.upstream import import_ as main

    return main(path, suite, size, level, platform, baseline, label, store, json)


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A run: its id or label.")],
    out: Annotated[Path, typer.Argument(help="Folder for the files.")],
    form: Annotated[str, typer.Option("--as", help="kernelbench or multikernelbench.")],
    store: Store = None,
    json: Json = False,
) -> int:
    """Write a run as the result files of KernelBench or MultiKernelBench."""
    from kernelmill.cli.bench.upstream import export as main

    return main(run, out, form, store, json)


@app.command()
def filters(
    suite: Suite = "multikernelbench",
    size: Size = "small",
    category: Category = None,
    task: OnlyTask = None,
    repaired: Repaired = False,
    seeds: Annotated[int, typer.Option(min=2, help="Draws of inputs and weights.")] = 5,
    mib: Annotated[int, typer.Option(min=1, help="Memory; batches are made smaller.")] = 512,
    model: Annotated[
        str | None, typer.Option(help="Ask a language model for its opinion, too.")
    ] = None,
    base_url: BaseUrl = None,
    api_key_env: KeyName = "OPENAI_API_KEY",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Good ones, too.")] = False,
    json: Json = False,
) -> int:
    """Find weak tasks: what passes for an answer, and does it depend on inputs and weights? Exit
    code 1: some task is weak."""
    from kernelmill.cli.bench.filters import main
    from kernelmill.tasks.suites import load_suite

    tasks = load_suite(suite, size, repaired=repaired, categories=category, tasks=task)
    return main(tasks, seeds, mib, model, base_url, api_key_env, verbose, json)
