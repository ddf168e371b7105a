from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from kernelmill.search.budget import Budget, Stopper, parse_budget
from kernelmill.search.graph import Graph
from kernelmill.search.policies import UCT, Evolutionary, Greedy, Independent, make_policy
from kernelmill.search.run import Run
from kernelmill.search.store import Store
from kernelmill.search.types import Node
from kernelmill.tasks import Candidate
from tests.search.fakes import TASK, FakeJudge, accepted, rejected

GOLDENS = Path(__file__).parents[1] / "goldens" / "kernelevolve"
SELECTION = json.loads((GOLDENS / "selection.json").read_text())
TERMINATION = json.loads((GOLDENS / "termination.json").read_text())
SCRIPTED = json.loads((GOLDENS / "scripted_search.json").read_text())
STORE = json.loads((GOLDENS / "store.json").read_text())


class Draws(random.Random):
    """A recorded stream."""

    def __init__(self, draws):
        super().__init__(0)
        self.draws, self.used = draws, 0

    def random(self):
        self.used += 1
        return self.draws[self.used - 1]

    def getstate(self):
        return (self.used,)

    def setstate(self, state):
        self.used = state[0]


def graph_of(nodes) -> Graph:
    graph = Graph()
    for node, parents, score in nodes:
        graph.add(Node(node, Candidate(""), parents=tuple(parents)), score)
    return graph


@pytest.mark.parametrize("case", SELECTION, ids=lambda c: f"{len(c['nodes'])} nodes")
def test_selection_is_the_goldens(case):
    graph = graph_of(case["nodes"])
    assert list(graph.ranking())[:3] == case["greedy_top3"]
    assert Greedy().select(graph, None) == (case["greedy_top3"][0],)
    for uct in case["uct"]:
        policy = UCT(**uct["options"])
        assert policy.select(graph, None) == (uct["selected"],)
        for node, bounds in uct["path"]:
            found = policy.bounds(graph, node)
            assert [child for child, _ in found] == [child for child, _ in bounds]
            assert [u for _, u in found] == pytest.approx([u for _, u in bounds], rel=1e-9)
    for evolution in case["evolutionary"]:
        policy = Evolutionary(**evolution["options"])
        draws = Draws(evolution["draws"])
        assert policy.population(graph) == evolution["population"]
        chosen = [list(policy.select(graph, draws)) for _ in evolution["parents"]]
        assert chosen == evolution["parents"]
        assert draws.used == evolution["draws_used"]


def test_scores_that_come_later_give_the_same_graph():
    nodes = SELECTION[-1]["nodes"]
    late = Graph()
    for node, parents, _ in nodes:
        late.add(Node(node, Candidate(""), parents=tuple(parents)), 0.0, pending=True)
    order = [n[0] for n in nodes]
    random.Random(1).shuffle(order)
    for node in order:
        late.settle(node, accepted(9.0), 7.0)  # a first score that is then corrected
    for node, _, score in nodes:
        late.settle(node, accepted(1.0), score)
    at_once = graph_of(nodes)
    assert list(late.ranking()) == list(at_once.ranking())
    assert late.size == at_once.size and late.peak == at_once.peak
    assert late.total == pytest.approx(at_once.total)


@pytest.mark.parametrize("case", TERMINATION["cases"], ids=lambda c: str(c["rule"]))
def test_termination_is_the_goldens(case):
    names = {"max_artifacts": "candidates", "wall_clock_s": "seconds"}
    budget = Budget(floor=None, **{names.get(k, k): v for k, v in case["rule"].items()})
    stopper, stop = Stopper(budget), None
    for index, (elapsed, score) in enumerate(TERMINATION["history"]):
        reason = stopper.add(elapsed, score)
        if reason:
            stop = {"index": index, "reason": reason}
            break
    assert stop == case["stop"]


def test_the_physical_floor_ends_a_search():
    stopper = Stopper(Budget(candidates=100, floor=1.05))
    assert stopper.add(0.0, 2.0, floor_share=1.2) is None
    assert stopper.add(0.0, 3.0, floor_share=1.04) == "floor"


@pytest.mark.parametrize("query", STORE["queries"], ids=lambda q: str(q["id"]))
def test_lineage_is_the_goldens(query):
    session = next(n["session"] for n in STORE["nodes"] if n["id"] == query["id"])
    graph, ids = Graph(), {}
    for n in (n for n in STORE["nodes"] if n["session"] == session):
        evaluation = rejected() if n["is_buggy"] else accepted(max(n["score"], 1e-9))
        parents = () if n["pid"] is None else (n["pid"],)
        graph.add(Node(n["id"], Candidate(""), evaluation, parents), n["score"])
        ids[n["id"]] = n
    node = query["id"]
    assert graph.ancestors(node) == query["ancestors"]
    assert graph.children[node] == query["children"]
    assert graph.siblings(node) == query["siblings"]
    assert graph.subtree(node) == query["subtree"]
    assert graph.failed_in_lineage(node) == query["failed_in_lineage"]


class Scripted:
    name = "scripted"

    def propose(self, task, parents, context):
        states = [json.loads(p.candidate.source) if p.id else [0] * 5 for p in parents]
        states = states or [[0] * 5]
        k, depth = context.facts["children"], context.facts["depth"]
        state = [states[j % len(states)][j] for j in range(5)]
        j = (2 * k + depth) % 5
        state[j] = (state[j] + (1 if k % 2 == 0 else 3)) % 4
        yield Candidate(json.dumps(state))


def scripted_rows(store, case, setup, interrupt_every=None):
    table = case["fitness_table"]
    judge = FakeJudge(lambda c: table[",".join(map(str, json.loads(c.source)))])
    options = dict(setup["options"])
    if setup["policy"] == "uct":
        options["root_width"] = setup["n_draft"]
    run_id, done = None, 0
    while done < setup["steps"]:
        done = min(setup["steps"], done + (interrupt_every or setup["steps"]))
        run = Run(
            TASK,
            judge,
            store,
            proposers=[Scripted()],
            policy=make_policy(setup["policy"], **options),
            budget=Budget(candidates=done),
            drafts=setup["n_draft"],
            dedupe=False,
            rng=Draws(case["draws"]),
            resume=run_id,
        )
        run_id = run.id
        assert run.run() and run.stop_reason == "max_artifacts"
    rows, best = [], 1.0
    for node in list(run.graph.nodes.values())[1:]:
        best = max(best, node.fitness)
        state = json.loads(node.candidate.source)
        rows.append([node.id, list(node.parents), state, node.fitness, best])
    return rows


@pytest.mark.parametrize("number", range(len(SCRIPTED[0]["runs"])))
def test_whole_runs_are_the_goldens(number):
    for case in SCRIPTED:
        setup = case["runs"][number]
        assert scripted_rows(Store(":memory:"), case, setup) == setup["rows"]


@pytest.mark.parametrize("policy", ["uct", "evolutionary"])
def test_an_interrupted_run_is_the_same_run(policy):
    case = SCRIPTED[1]
    setup = next(r for r in case["runs"] if r["policy"] == policy)
    for every in (1, 7):
        assert scripted_rows(Store(":memory:"), case, setup, every) == setup["rows"]


def test_c_zero_is_greedy_descent_and_endless_width_is_independent():
    graph = graph_of(SELECTION[-1]["nodes"])
    assert UCT(width=10**9).select(graph, None) == Independent().select(graph, None)
    node, policy = graph.root, UCT(c=0.0, width=2)
    while len(graph.children[node]) >= 2:
        node = max(graph.children[node], key=lambda n: (graph.peak[n], -n))
    assert policy.select(graph, None) == (node,)


@pytest.mark.parametrize("policy", [Greedy(), UCT(), UCT(width=1), Evolutionary()])
def test_closed_nodes_are_passed_over_until_none_is_left(policy):
    graph = graph_of(SELECTION[-1]["nodes"])
    rng, closed = random.Random(0), set()
    while not graph.exhausted:
        selected = policy.select(graph, rng)
        if selected[0] in closed:  # evolution looks at nodes with a fitness only
            assert isinstance(policy, Evolutionary)
            assert all(graph.score[n] <= 0 for n in graph.nodes if n not in closed)
            break
        closed.add(selected[0])
        graph.close(selected[0])
    assert isinstance(policy, Evolutionary) or closed == set(graph.nodes)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: make_policy("best"), "policy"),
        (lambda: UCT(c=-1), "c must"),
        (lambda: UCT(width=0), "width"),
        (lambda: UCT(backup="sum"), "backup"),
        (lambda: Evolutionary(mu=0), "mu"),
        (lambda: Evolutionary(p_crossover=2), "p_crossover"),
        (lambda: Budget(), "no limit"),
        (lambda: Budget(candidates=0), "candidates"),
        (lambda: Budget(seconds=1, min_improvement=-1), "min_improvement"),
    ],
)
def test_bad_options_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("2m", 120), ("1.5h", 5400), ("500ms", 0.5), (60, 60), (0.5, 0.5), (" 3 S", 3)],
)
def test_budgets(text, seconds):
    assert parse_budget(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", 0, -3, "5x", None, True, "nan", "1.2.3"])
def test_budgets_that_are_none(text):
    with pytest.raises(ValueError, match="budget: got"):
        parse_budget(text)
