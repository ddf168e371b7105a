"""Asking for n samples of every task: resumable, cached, within a budget."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kernelmill.bench.generation.budget import OverBudget
from kernelmill.bench.generation.client import Attempt, Client, RequestFailed
from kernelmill.bench.generation.folder import Cache, Folder
from kernelmill.bench.prompts import render
from kernelmill.tasks import Suite


@dataclass(frozen=True)
class Plan:
    """What is asked.

    Args:
        suite: every task of it. backend, strategy, shots, template: see `prompts.render`.
        samples: answers per task. temperature, top_p: ``None``: the server's own.
        max_tokens: of an answer.

    Raises:
        ValueError: a number out of its range.
    """

    suite: Suite
    backend: str
    strategy: str = "category_shot"
    samples: int = 1
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int = 8192
    shots: int = 3
    template: str | None = None

    def __post_init__(self) -> None:
        for name in ("samples", "max_tokens", "shots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must be in [0, 2], got {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")

    def settings(self) -> dict[str, Any]:
        """All that an answer depends on, besides the tasks' own prompts."""
        kept = {k: v for k, v in vars(self).items() if k not in ("suite", "samples")}
        return {"suite": self.suite.name, "version": self.suite.version, **kept}


@dataclass
class Summary:
    """How a generation ended. ``asked`` were answered now, ``cached`` by the cache, ``there`` by
    the folder itself; ``failed`` names (task, sample, why); ``left`` was not asked, and
    ``stopped`` says why not."""

    total: int
    asked: int = 0
    cached: int = 0
    there: int = 0
    no_code: int = 0
    truncated: int = 0
    left: int = 0
    failed: list[tuple[str, int, str]] = field(default_factory=list)
    stopped: str = ""
    attempts: int = 0
    requests: int = 0
    tokens: int = 0
    usd: float | None = None

    @property
    def complete(self) -> bool:
        return not self.failed and not self.left

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "complete": self.complete}


@dataclass(frozen=True)
class Job:
    task: str
    sample: int
    prompt: str
    key: str


def generate(
    plan: Plan,
    client: Callable[[], Client],
    folder: str | Path,
    *,
    concurrency: int = 8,
    cache: str | Path | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Summary:
    """Ask for every sample that the folder does not have yet.

    An answer is written at once; after a kill, those that were on their way are asked again, all
    others never. The client's budget is that of the folder, whichever run spent it.

    Args:
        client: makes the client within the event loop.
        concurrency: requests in flight together.
        cache: folder of answers by question, shared by generations.

    Raises:
        FolderError: the folder holds other answers or is in use.
        ValueError: no prompt can be made, or a number is out of its range.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency}")
    return asyncio.run(_generate(plan, client, folder, concurrency, Cache(cache), progress))


async def _generate(
    plan: Plan,
    make: Callable[[], Client],
    path: str | Path,
    concurrency: int,
    cache: Cache,
    progress: Callable[[str], None],
) -> Summary:
    client = make()
    try:
        settings = {**plan.settings(), "model": client.model, "options": dict(client.options)}
        jobs = list(_jobs(plan, client))
        with Folder(path, settings) as folder:
            spent = folder.spent()
            budget = client.budget
            budget.spent_requests, budget.spent_tokens, budget.spent_usd = spent
            run = _Run(plan, client, folder, cache, progress, Summary(total=len(jobs)))
            try:
                await run.all(jobs, concurrency)
            finally:
                summary = run.finish()
            return summary
    finally:
        await client.close()


def _jobs(plan: Plan, client: Client) -> Iterator[Job]:
    """Sample by sample over all tasks, so that a budget that runs out leaves no task behind."""
    prompts = {
        task.name: render(
            task, plan.backend, plan.strategy, shots=plan.shots, template=plan.template
        )
        for task in plan.suite
    }
    question = {
        "server": client.base_url, "model": client.model, "options": dict(client.options),
        "temperature": plan.temperature, "top_p": plan.top_p, "max_tokens": plan.max_tokens,
    }  # fmt: skip
    for sample in range(plan.samples):
        for name, prompt in prompts.items():
            text = json.dumps([question, prompt, sample], sort_keys=True)
            yield Job(name, sample, prompt, hashlib.sha256(text.encode()).hexdigest())


@dataclass
class _Run:
    plan: Plan
    client: Client
    folder: Folder
    cache: Cache
    progress: Callable[[str], None]
    summary: Summary

    def __post_init__(self) -> None:
        self.settled = asyncio.Condition()

    async def all(self, jobs: list[Job], concurrency: int) -> None:
        waiting = iter(jobs)

        async def work() -> None:
            for job in waiting:
                if self.summary.stopped:
                    self.summary.left += 1
                    continue
                await self.one(job)

        workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(jobs)))]
        try:
            await asyncio.gather(*workers)
        except BaseException:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            raise

    async def one(self, job: Job) -> None:
        if self.folder.answer(job.task, job.sample, job.prompt) is not None:
            self.summary.there += 1
        elif (known := self.cache.get(job.key)) is not None:
            self.summary.cached += 1
            self.keep(job, {**known, "cached": True})
        else:
            record = await self.ask(job)
            if record is None:
                return
            self.summary.asked += 1
            self.keep(job, record)
            self.cache.put(job.key, record)
        self.progress(job.task)

    def keep(self, job: Job, record: dict[str, Any]) -> None:
        if not self.folder.keep(job.task, job.sample, record, self.plan.backend):
            self.summary.no_code += 1
        self.summary.truncated += record["finish_reason"] == "length"

    async def ask(self, job: Job) -> dict[str, Any] | None:
        """The answer's record; ``None`` where there is none, which the summary tells."""
        number = 0

        def before(ticket: tuple[int, float]) -> None:
            nonlocal number
            number += 1
            self.folder.log(
                "sent", key=job.key, task=job.task, sample=job.sample, attempt=number,
                reserved_tokens=ticket[0], reserved_usd=ticket[1], time=time.time(),
            )  # fmt: skip

        def after(attempt: Attempt, booked: tuple[Any, Any, Any]) -> None:
            self.summary.attempts += 1
            self.folder.log(
                "ended", key=job.key, task=job.task, sample=job.sample, attempt=number,
                status=attempt.status, detail=attempt.detail, seconds=attempt.seconds,
                prompt_tokens=booked[0], completion_tokens=booked[1], usd=booked[2],
            )  # fmt: skip

        plan = self.plan
        while True:
            number_before = number
            try:
                answer = await self.client.ask(
                    [{"role": "user", "content": job.prompt}], key=job.key,
                    temperature=plan.temperature, top_p=plan.top_p, max_tokens=plan.max_tokens,
                    before=before, after=after,
                )  # fmt: skip
                return {
                    "task": job.task, "sample": job.sample, "key": job.key,
                    "prompt": job.prompt, **answer.to_dict(),
                }  # fmt: skip
            except RequestFailed as failed:
                self.summary.failed.append((job.task, job.sample, str(failed)))
                if failed.for_all:
                    self.summary.stopped = str(failed)
                return None
            except OverBudget as over:
                reason, state = str(over), self.state()
            finally:
                if number > number_before:  # something was reserved, and is settled now
                    async with self.settled:
                        self.settled.notify_all()
            async with self.settled:
                # what is in flight has reserved more than it will use
                if self.state() != state:
                    continue
                if not self.client.budget.reserved_requests or self.summary.stopped:
                    self.summary.stopped = self.summary.stopped or f"the budget is used: {reason}"
                    self.summary.left += 1
                    self.settled.notify_all()
                    return None
                await self.settled.wait()

    def state(self) -> tuple[int, int]:
        budget = self.client.budget
        return budget.reserved_requests, budget.spent_requests

    def finish(self) -> Summary:
        budget = self.client.budget
        summary = self.summary
        summary.requests, summary.tokens = budget.spent_requests, budget.spent_tokens
        summary.usd = budget.spent_usd if budget.prices.cost(1, 1) is not None else None
        self.folder.write_head(summary.to_dict())
        return summary
