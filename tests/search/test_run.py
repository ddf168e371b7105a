from __future__ import annotations

import threading

import pytest

from kernelmill.evaluate.evaluation import Evaluation
from kernelmill.search.budget import Budget
from kernelmill.search.errors import SearchError
from kernelmill.search.events import root_candidate
from kernelmill.search.executor import Threads
from kernelmill.search.proposing import ProposerHung, Stream, make_proposers
from kernelmill.search.run import Run
from kernelmill.search.store import Store
from kernelmill.tasks import Candidate, CandidateError, TaskError
from tests.search.fakes import SOURCE, TASK, Counting, FakeJudge, Fixed, accepted


def make(proposers, judge=None, candidates=10, **options) -> Run:
    options.setdefault("budget", Budget(candidates=candidates))
    return Run(TASK, judge or FakeJudge(), Store(":memory:"), proposers=proposers, **options)


def names(run: Run) -> list[str]:
    return [n.candidate.provenance["proposer"] for n in list(run.graph.nodes.values())[1:]]


def test_drafts_come_from_all_proposers_in_turn():
    run = make([Counting("a"), Counting("b"), Counting("c")], candidates=9)
    run.run()
    assert names(run) == ["a", "b", "c"] * 3
    assert all(n.parents == (0,) for n in list(run.graph.nodes.values())[1:])


def test_after_the_drafts_come_children_of_the_best():
    run = make([Counting()], candidates=12, drafts=4, policy="greedy")
    run.run()
    for node in list(run.graph.nodes.values())[5:]:
        earlier = [n for n in run.graph.nodes.values() if n.id < node.id]
        scores = {n.id: n.fitness if n.id else 1.0 for n in earlier}
        assert node.parents == (max(scores, key=lambda i: (scores[i], -i)),) or (
            scores[node.parents[0]] == max(scores.values())
        )


class Faulty:
    def __init__(self, name, act):
        self.name, self.act, self.calls = name, act, 0

    def propose(self, task, parents, context):
        self.calls += 1
        return self.act(parents)


def endless(_):
    threading.Event().wait(30)


def raises_later(_):
    yield Candidate(SOURCE.format("'first'"))
    raise RuntimeError("boom")


def leaves(_):
    raise SystemExit(3)


@pytest.mark.parametrize(
    "act",
    [
        lambda p: [],
        lambda p: None,
        lambda p: [""],
        lambda p: [42],
        lambda p: 7,
        lambda p: 1 / 0,
        endless,
        raises_later,
        leaves,
    ],
    ids=["empty", "none", "blank", "number", "no iterable", "raises", "hangs", "late", "exits"],
)
def test_a_faulty_proposer_costs_steps_and_stops_nothing(act):
    bad = Faulty("bad", act)
    run = make([bad, Counting("good")], candidates=8, propose_seconds=0.1)
    run.run()
    assert run.stop_reason == "max_artifacts"
    assert names(run).count("good") >= 7
    assert bad.calls <= 8
    events = run.store.load_events(run.id)
    assert {e["proposer"] for e in events} == {"bad"}


def test_a_proposer_that_hangs_is_not_asked_again():
    bad = Faulty("bad", endless)
    run = make([bad, Counting("good")], candidates=20, propose_seconds=0.05)
    run.run()
    assert bad.calls == 1
    (event,) = run.store.load_events(run.id)
    assert event["why"] == "hung" and "0.05 s" in event["text"]


def test_a_search_ends_when_nobody_has_ideas_left():
    judge = FakeJudge()
    run = make([Fixed([1, 2, 3]), Fixed([3, 4], "more")], judge, candidates=100)
    run.run()
    assert run.stop_reason == "exhausted"
    assert len(run.graph) == 5 and len(judge.paid) == 4


def test_proposers_that_only_fail_end_the_search():
    run = make([Faulty("bad", lambda p: 1 / 0)], candidates=100)
    run.run()
    assert run.stop_reason == "exhausted" and len(run.graph) == 1


def test_the_same_source_written_differently_is_judged_once():
    class Same:
        name = "same"

        def propose(self, task, parents, context):
            if not parents:
                yield "class ModelNew:\n    x = 1\n"
                yield "class ModelNew:\n  x=1  # again\n"
                yield root_candidate(task).source + "# the reference itself"
                yield "class ModelNew:\n    x = 2\n"

    judge = FakeJudge()
    run = make([Same()], judge)
    run.run()
    assert len(judge.paid) == 2


def test_other_backends_are_skipped_when_some_are_named():
    run = make([Fixed([1, 2], "a", "torch"), Fixed([3, 4], "b", "triton")], backends=["triton"])
    run.run()
    assert {n.candidate.backend for n in list(run.graph.nodes.values())[1:]} == {"triton"}


def test_proposers_see_parents_with_their_evaluations():
    seen = []

    class Looking(Counting):
        def propose(self, task, parents, context):
            seen.append((parents, context))
            yield from super().propose(task, parents, context)

    run = make(
        [Looking()],
        candidates=8,
        drafts=3,
        policy="greedy",
        context={"device": "cpu", "threads": 2, "facts": {"x": 1}},
    )
    run.run()
    drafting, improving = seen[0], seen[-1]
    assert list(drafting[0]) == [] and drafting[1].facts["x"] == 1 and drafting[1].threads == 2
    assert improving[0][0].evaluation.accepted and improving[0][0].fitness > 0
    assert improving[1].facts["best"] == run.graph.best_score


def test_a_target_and_a_stall_end_a_search():
    scores = iter([1.1, 1.2, 2.5, 9.0])
    run = make([Counting()], FakeJudge(lambda c: next(scores)), budget=Budget(target=2.0))
    run.run()
    assert run.stop_reason == "target" and len(run.graph) == 4
    run = make([Counting()], FakeJudge(lambda c: 1.5), budget=Budget(patience=5))
    run.run()
    assert run.stop_reason == "stall" and len(run.graph) == 7
    run = make([Counting()], FakeJudge(lambda c: accepted(2.0, floor=0.98)))
    run.run()
    assert run.stop_reason == "floor" and len(run.graph) == 2


def test_time_ends_a_search():
    run = make([Counting()], budget=Budget(seconds=0.2))
    run.run()
    assert run.stop_reason == "wall_clock" and run.elapsed >= 0.15


def test_a_broken_reference_ends_the_search_with_its_own_error():
    run = make([Counting()], FakeJudge(lambda c: TaskError("the reference returns nothing")))
    with pytest.raises(TaskError, match="returns nothing"):
        run.run()
    assert run.store.get_run(run.id).status == "failed"


def test_a_candidate_the_judge_cannot_take_is_an_error_like_others():
    run = make([Counting()], FakeJudge(lambda c: CandidateError("no ModelNew")), candidates=3)
    run.run()
    assert [n.evaluation.status for n in list(run.graph.nodes.values())[1:]] == ["error"] * 3
    assert run.graph.best == 0


def test_a_judge_that_fails_once_is_forgiven_and_its_verdict_not_reused():
    store, calls = Store(":memory:"), []

    def score(candidate):
        calls.append(candidate)
        return BrokenPipeError("worker died") if len(calls) == 2 else 2.0

    options = {"proposers": [Counting()], "budget": Budget(candidates=4)}
    run = Run(TASK, FakeJudge(score), store, **options)
    run.run()
    assert [n.evaluation.stage for n in list(run.graph.nodes.values())[1:]].count("judge") == 1
    again = Run(TASK, judge := FakeJudge(lambda c: 2.0), store, **options)
    again.run()
    assert judge.paid == [calls[1].hash]


def test_a_judge_that_keeps_failing_ends_the_search():
    run = make([Counting()], FakeJudge(lambda c: OSError("no space left")))
    with pytest.raises(SearchError, match="3 times in a row.*no space left"):
        run.run()


def test_several_evaluations_at_once():
    together, most = threading.Semaphore(0), []

    class Parallel(FakeJudge):
        def evaluate(self, task, candidate, timing=True) -> Evaluation:
            together.release()
            most.append(together._value)
            threading.Event().wait(0.01)
            together.acquire()
            return super().evaluate(task, candidate)

    pool = Threads(3)
    run = make([Counting("a"), Counting("b")], Parallel(), candidates=30, executor=pool)
    run.run()
    pool.close()
    assert max(most) > 1
    assert len({n.candidate.hash for n in run.graph.nodes.values()}) == len(run.graph)
    assert len(run.graph) in range(31, 34) and not run.graph.pending


def test_progress_tells_what_happens_and_may_fail():
    events = []

    def progress(event):
        events.append(event)
        raise RuntimeError("the terminal is gone")

    run = make([Counting()], candidates=3, progress=progress)
    run.run()
    assert [e.kind for e in events] == ["start"] + ["proposing", "judging", "node"] * 3
    assert [e.candidates for e in events if e.kind == "node"] == [1, 2, 3]
    assert events[-1].best == run.graph.best_score


def test_best_is_monotone_and_never_a_rejected_one():
    bests = []
    run = make([Counting()], candidates=40, progress=lambda e: bests.append(e.best))
    run.run()
    assert bests == sorted(bests)
    assert run.graph.best == 0 or run.graph[run.graph.best].evaluation.accepted


@pytest.mark.parametrize(
    ("proposers", "words"),
    [
        (["nobody"], "'nobody' cannot be used"),
        ([], "got none"),
        ([object()], "wanted objects with a name"),
        ([Counting("a"), Counting("a")], "two are called 'a'"),
    ],
)
def test_proposers_that_are_none(proposers, words):
    with pytest.raises(ValueError, match=words):
        make_proposers(proposers)


def test_a_stream_draws_nothing_ahead():
    drawn = []

    def items():
        for i in range(3):
            drawn.append(i)
            yield i

    stream = Stream(items)
    assert drawn == []
    assert stream.next(5) == 0 and drawn == [0]
    assert [stream.next(5), stream.next(5), stream.next(5), stream.next(5)] == [1, 2, None, None]
    with pytest.raises(ProposerHung):
        Stream(lambda: endless(None)).next(0.01)
