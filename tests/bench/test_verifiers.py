from __future__ import annotations

import pytest

from kernelmill.bench.verifiers import Effect, Review, effect, screen


class Scripted:
    def __init__(self, name, scores):
        self.name, self.scores, self.asked = name, scores, []

    def review(self, reference, candidate, context):
        self.asked.append(candidate)
        return Review(self.scores[candidate])


def test_the_dear_verifier_is_not_asked_about_what_the_cheap_one_rejects():
    cheap, dear = Scripted("cheap", {"a": 1, "b": 0, "c": 0.5}), Scripted("dear", {"a": 0, "c": 1})
    results = screen("", ["a", "b", "c"], [cheap, dear])
    assert [r.passed for r in results] == [False, False, True]
    assert dear.asked == ["a", "c"]
    assert list(results[1].reviews) == ["cheap"]


def test_effect_by_hand():
    assert effect([True, True, False, False, False], [True, False, True, False, False]) == Effect(
        before=0.4, after=0.5, lost=1, saved=2
    )
    assert effect([False], [False]) == Effect(before=0.0, after=None, lost=0, saved=1)
    with pytest.raises(ValueError):
        effect([True], [])


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="score"):
        Review(1.5)
    with pytest.raises(ValueError, match="threshold"):
        screen("", [], [], threshold=2)
