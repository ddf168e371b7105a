"""Proposer ``template``: generated kernels, each candidate one schedule of the code generator."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from kernelmill.search.codegen.schedule import Schedule
from kernelmill.search.proposers._embed import embed
from kernelmill.search.types import Context, Node
from kernelmill.tasks import Candidate, Task

CHILDREN = 4  # mutations tried per parent and call
log = logging.getLogger("kernelmill")


class TemplateProposer:
    """First drafts are the default schedule and its few most promising neighbours; asked to
    improve on accepted candidates of its own, it changes one or two choices of their schedules
    (``provenance["schedule"]``) at random. Proposes nothing for a graph that it cannot handle."""

    name = "template"

    def propose(self, task: Task, parents: Sequence[Node], context: Context) -> Iterable[Candidate]:
        backend = "cpp" if context.device == "cpu" else "triton"
        if backend not in context.facts.get("backends", [backend]):
            return
        seen = {node.candidate.hash for node in parents}
        graph = None
        for schedule in _schedules(task, parents, context):
            if graph is None:
                graph = _graph(task, context.device)
                if graph is None:
                    return
            candidate = graph.candidate(schedule)
            if candidate is not None and candidate.hash not in seen:
                seen.add(candidate.hash)
                yield candidate


def _schedules(task: Task, parents: Sequence[Node], context: Context) -> Iterator[Schedule]:
    if not parents:
        yield from drafts(task)
        return
    for node in parents:
        facts = node.candidate.provenance
        if facts.get("proposer") != TemplateProposer.name or not node.fitness:
            continue
        schedule = Schedule.from_dict(dict(facts.get("schedule", {})))
        for _ in range(CHILDREN):
            yield schedule.mutate(context.rng, steps=1 + (context.rng.random() < 0.3))


def drafts(task: Task) -> Iterator[Schedule]:
    """The first schedules to try, best guess first (equal texts are dropped by the caller)."""
    yield Schedule()
    yield Schedule(channels_last=True)
    yield Schedule(gemm="torch")
    yield Schedule(own_depthwise=False)
    yield Schedule(fuse=False)
    yield Schedule(tile=256)


def candidate_of(task: Task, schedule: Schedule | None = None) -> Candidate | None:
    """The candidate of one schedule (default: the default one), ``None`` where the generator
    can do nothing for the task.

    Example:
        >>> text = '''
        ... import torch
        ... class Model(torch.nn.Module):
        ...     def forward(self, x):
        ...         return torch.softmax(x * 2, dim=-1)
        ... def get_inputs():
        ...     return [torch.randn(8, 40)]
        ... '''
        >>> candidate_of(Task("softmax", text)).backend
        'cpp'
    """
    graph = _graph(task, "cpu")
    return graph.candidate(schedule or Schedule()) if graph else None


class _Graph:
    """A task's module and inputs, from which any number of schedules are generated."""

    def __init__(self, reference: str, model, inputs, device: str):
        self.reference = reference
        self.model = model
        self.inputs = inputs
        self.device = device
        self.programs: dict = {}

    def candidate(self, schedule: Schedule) -> Candidate | None:
        from kernelmill.search.codegen.generate import generate

        try:
            source = generate(
                self.model, self.inputs, self.reference, schedule, self.device, self.programs
            )
        except Exception as error:
            log.info("template: no candidate: %s: %s", type(error).__name__, error)
            return None
        provenance = {"proposer": TemplateProposer.name, "schedule": schedule.to_dict()}
        backend = "cpp" if self.device == "cpu" else "triton"
        if "_KM_SOURCE" not in source and backend == "cpp":
            backend = "torch"  # torch's other operator for the same, no kernel of ours
        changed = {k: v for k, v in schedule.to_dict().items() if v != Schedule().to_dict()[k]}
        name = "template" + "".join(f", {k} {v}" for k, v in changed.items())
        return Candidate(source, backend, name, provenance)


def _graph(task: Task, device: str) -> _Graph | None:
    from kernelmill.tasks.program import Program, quiet_rng

    try:
        reference = embed(task)
        if reference is None:
            return None
        with quiet_rng():
            program = Program(task, register=False)
            if program.groups > 1:
                log.info("template: no candidate: several groups of inputs")
                return None
            model, inputs = program.make_model(seed=0), program.make_inputs(seed=0)
    except Exception as error:
        log.info("template: no candidate: %s: %s", type(error).__name__, error)
        return None
    return _Graph(reference, model, inputs, device)
