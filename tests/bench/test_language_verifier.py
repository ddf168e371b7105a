from __future__ import annotations

import pytest

from kernelmill.bench.verifiers.language import LanguageVerifier


def test_the_answer_after_reflection_counts_and_scores_are_averaged():
    answers = iter(["False", "True", "True", "Line 3\nFalse", "x", "It may be True"])
    asked = []

    def ask(messages):
        asked.append(len(messages))
        return next(answers)

    review = LanguageVerifier(ask).review("REF", "KERNEL", {})
    assert asked == [1, 3, 1, 3, 1, 3]
    assert review.score == 0.5
    assert review.reasons == ("memory: Line 3\nFalse", "numerics: no verdict")


def test_unknown_subjects_are_refused():
    with pytest.raises(ValueError, match="subjects"):
        LanguageVerifier(lambda messages: "True", ("speed",))
