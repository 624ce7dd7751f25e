"""Measures of degenerate text on texts whose values can be counted by hand."""

from __future__ import annotations

import random

import pytest

from rotoscale.degeneration import degeneration, distinct_ngrams, longest_run, repetition


def test_a_loop_is_all_repetition_and_different_tokens_are_none() -> None:
    loop, varied = [7] * 32, list(range(32))
    assert repetition(loop) == pytest.approx(1 - 1 / 30)
    assert repetition(varied) == 0
    assert (longest_run(loop), longest_run(varied), longest_run([1, 1, 2, 2, 2, 1])) == (32, 1, 3)
    assert degeneration([loop], 1000).longest_run == 1
    assert degeneration([varied], 64).vocabulary_share == 0.5


def test_counts_by_hand() -> None:
    text = [1, 2, 3, 1, 2, 3, 4]
    # 3-grams: 123 231 312 123 234: four of five are different.
    assert repetition(text) == pytest.approx(1 / 5)
    assert distinct_ngrams([text], 1) == 4 / 7
    assert distinct_ngrams([text], 2) == 4 / 6
    assert distinct_ngrams([text, text], 2) == 4 / 12
    assert distinct_ngrams([[1]], 2) is None


def test_short_and_missing_texts() -> None:
    found = degeneration([[], [5]], 10)
    assert (found.distinct_1, found.distinct_2, found.repetition) == (1.0, None, None)
    assert (found.n_texts, found.n_tokens, found.vocabulary_share) == (2, 1, 0.1)
    nothing = degeneration([], 10)
    assert (nothing.distinct_1, nothing.longest_run, nothing.vocabulary_share) == (None, None, 0.0)


def test_random_texts_of_few_tokens_repeat_more() -> None:
    draw = random.Random(0)
    found = [degeneration([[draw.randrange(k) for _ in range(100)] for _ in range(5)], 1000) for k in (3, 30, 900)]
    shares = [f.repetition for f in found]
    assert shares == sorted(shares, reverse=True)
    assert [f.distinct_2 for f in found] == sorted(f.distinct_2 for f in found)
