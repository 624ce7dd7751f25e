"""Benjamini and Hochberg against scipy's, and the rule by which matrices are called."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from rotoscale.agreement_statistics import AgreementStatistics
from rotoscale.multiple import benjamini_hochberg, called_apart, called_together, corrected


def test_agrees_with_scipy_and_leaves_out_what_is_missing() -> None:
    p = np.random.default_rng(0).uniform(size=50) ** 3
    q = benjamini_hochberg(p.tolist())
    assert q == pytest.approx(false_discovery_control(p).tolist())
    assert benjamini_hochberg([None, *p.tolist(), None]) == [None, *q, None]
    assert benjamini_hochberg([None]) == [None]
    assert benjamini_hochberg([]) == []


def test_the_two_tails_of_a_model_are_corrected_apart() -> None:
    rows = [
        AgreementStatistics(numerical_rank=9, principal_k=8, p_together=p, p_apart=1 - p if p is not None else None)
        for p in (0.001, 0.5, None, 0.9)
    ]
    found = corrected(rows)
    assert [row.q_together for row in found] == pytest.approx([0.003, 0.75, None, 0.9])
    assert [row.q_apart for row in found] == pytest.approx([0.999, 0.75, None, 0.3])


def test_a_matrix_is_called_by_size_and_by_significance() -> None:
    assert called_together(0.06, 0.01)
    assert not called_together(0.04, 0.01)
    assert not called_together(0.06, 0.2)
    assert not called_together(None, None)
    assert called_apart(-0.06, 0.01)
    assert not called_apart(0.06, 0.01)
