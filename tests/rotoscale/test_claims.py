"""The rules on data where the claim is true, where nothing happened, where the opposite is true, and at floors."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rotoscale.claims import CLAIMS, NOT_TESTED, REFUTED, SUPPORTED, UNDECIDED, Evidence, Verdict
from rotoscale.claims.arithmetic import median_interval, share_power
from rotoscale.intervals import wilson

MODEL, BASE, FAMILY = "m", "b", "f"
Rows = list[dict[str, Any]]
PROJECT = Path(__file__).resolve().parents[2]


def judge(name: str, model_id: str = MODEL, **tables: Sequence[Mapping[str, Any]]) -> Verdict:
    return CLAIMS[name].judge(Evidence(FAMILY, model_id, BASE if model_id else "", tables))


def words(draw: Callable[[np.random.Generator], Verdict], seeds: int) -> Counter[str]:
    return Counter(draw(np.random.default_rng(seed)).verdict for seed in range(seeds))


# ---------------------------------------------------------------------------------------------------------- weights


def scale_rows(spread: np.ndarray, noise: np.ndarray, bands: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Rows:
    return [
        {"model_id": MODEL, "base_id": BASE, "ratio_cv": float(own), "ratio_cv_noise": float(other)}
        | dict(zip(("alpha_top", "alpha_middle", "alpha_bottom"), bands, strict=True))
        for own, other in zip(spread, noise, strict=True)
    ]  # fmt: skip


def test_hc1_uniform_scaling_is_supported_and_uneven_scaling_refuted() -> None:
    noise = np.full(28, 0.01)
    assert judge("HC1", scale_statistics=scale_rows(0.3 * noise, noise)).verdict == SUPPORTED
    assert judge("HC1", scale_statistics=scale_rows(3 * noise, noise)).verdict == REFUTED
    apart = judge("HC1", scale_statistics=scale_rows(0.3 * noise, noise, (1.02, 1.0, 1.0)))
    assert apart.verdict == UNDECIDED
    assert "2.00 % apart" in apart.reason


def test_hc1_calls_noise_neither() -> None:
    def noise(random: np.random.Generator) -> Verdict:
        spreads = np.exp(random.normal(-4, 0.2, (2, 28)))
        return judge("HC1", scale_statistics=scale_rows(*spreads))

    found = words(noise, 200)
    assert found[SUPPORTED] + found[REFUTED] <= 20  # 5 % nominal; 3 standard errors above that


def test_hc1_unchanged_matrices_and_missing_controls_are_not_tested() -> None:
    zero = np.zeros(28)
    assert judge("HC1", scale_statistics=scale_rows(zero, zero)).verdict == NOT_TESTED
    rows = [{"model_id": MODEL, "base_id": BASE, "ratio_cv": 0.1}]
    assert judge("HC1", scale_statistics=rows).verdict == NOT_TESTED


def agreement_rows(taus: np.ndarray, q: float = 1.0) -> Rows:
    return [{"model_id": MODEL, "base_id": BASE, "tau": float(tau), "q_together": q, "p_together": q} for tau in taus]


def test_hc3_he_and_caos_formula_is_supported_and_noise_refuted() -> None:
    random = np.random.default_rng(0)
    assert judge("HC3", agreement=agreement_rows(np.full(28, 0.97), 1e-4)).verdict == SUPPORTED
    noise = judge("HC3", agreement=agreement_rows(random.normal(0, 0.02, 28)))
    assert noise.verdict == REFUTED
    assert "in none" in noise.reason
    weak = judge("HC3", agreement=agreement_rows(np.full(28, 0.1), 1e-4))
    assert weak.verdict == REFUTED
    assert "real but weak excess" in weak.reason
    assert judge("HC3", agreement=agreement_rows(random.uniform(0.2, 0.95, 28))).verdict == UNDECIDED


def test_hc3_a_pure_multiple_is_not_tested() -> None:
    rows = [{"model_id": MODEL, "base_id": BASE, "tau": None, "q_together": None}] * 28
    assert judge("HC3", agreement=rows).verdict == NOT_TESTED


def test_the_interval_of_a_median_covers_it() -> None:
    """Against the normal distribution, whose median is known; 400 samples of 28 at a nominal 95 %."""
    random = np.random.default_rng(1)
    covered = sum(low <= 0 <= high for _, low, high in (median_interval(random.normal(size=28)) for _ in range(400)))
    assert 360 <= covered <= 400


# -------------------------------------------------------------------------------------------------- output scale


def family_rows(excess: Mapping[str, float], layers: int, random: np.random.Generator, noise: float = 0.002) -> dict:
    """Tables of a family: models by id (the method is the id's first word), each with alphas of q, k, v and o."""
    models = [{"model_id": name, "base_id": BASE, "role": "descendant", "method": name.split()[0]} for name in excess]
    scale = [
        {"model_id": name, "base_id": BASE, "layer": layer, "matrix": matrix}
        | {"alpha_median": 1 + (extra if matrix == "o" else 0) + random.normal(0, noise)}
        for name, extra in excess.items()
        for layer in range(layers)
        for matrix in ("q", "k", "v", "o")
    ]
    return {"models": models, "scale_statistics": scale}


def test_hc6_follows_the_order_of_o_in_reasoning_and_instruct_models() -> None:
    random = np.random.default_rng(0)
    for reasoning, instruct, expected in (
        (0.05, 0.0, SUPPORTED),
        (0.05, 0.05, UNDECIDED),
        (-0.05, 0.0, REFUTED),
        (0.0, 0.0, UNDECIDED),
    ):
        tables = family_rows({"reasoning 1": reasoning, "reasoning 2": reasoning, "instruct": instruct}, 16, random)
        assert judge("HC6", "", **tables).verdict == expected
    few = judge("HC6", "", **family_rows({"reasoning": 0.05, "instruct": 0.0}, 4, random))
    assert few.verdict == UNDECIDED
    assert "too few" in few.reason
    assert judge("HC6", "", **family_rows({"reasoning": 0.05, "math": 0.0}, 16, random)).verdict == NOT_TESTED


def test_hc6_noise_is_neither() -> None:
    found = words(lambda r: judge("HC6", "", **family_rows({"reasoning": 0.0, "instruct": 0.0}, 16, r)), 100)
    assert found[SUPPORTED] + found[REFUTED] <= 5


def test_hc7_needs_six_layers() -> None:
    def row(**given: Any) -> Rows:
        return [{"model_id": MODEL, "base_id": BASE, "ci_low": 0.4, "ci_high": 0.9, "n_layers": 8} | given]

    assert judge("HC7", temperature_test=row(spearman=0.8, p_value=0.01)).verdict == SUPPORTED
    assert judge("HC7", temperature_test=row(spearman=0.8, p_value=0.01, n_layers=5)).verdict == UNDECIDED
    assert judge("HC7", temperature_test=row(spearman=0.3, p_value=0.4, ci_low=-0.5)).verdict == UNDECIDED
    assert judge("HC7", temperature_test=row(spearman=-0.8, p_value=0.01, ci_low=-0.9, ci_high=-0.2)).verdict == REFUTED
    nothing = judge("HC7", temperature_test=row(spearman=None, note="q and k are normalised"))
    assert (nothing.verdict, nothing.reason) == (NOT_TESTED, "q and k are normalised.")


def test_hc8_wants_an_unrelated_model_that_is_not_called_related() -> None:
    models = [{"model_id": "u", "base_id": BASE, "role": "unrelated", "method": "scratch"}]

    def lineage(own: str, p: float, other: str) -> Rows:
        return [
            {"model_a": BASE, "model_b": MODEL, "p_exact": p, "p_match": 0.4, "verdict": own},
            {"model_a": "u", "model_b": BASE, "p_exact": 0.3, "p_match": 0.2, "verdict": other},
        ]

    assert judge("HC8", models=models, lineage=lineage("related", 1e-300, "unrelated")).verdict == SUPPORTED
    assert judge("HC8", models=models, lineage=lineage("related", 1e-5, "unrelated")).verdict == UNDECIDED
    assert judge("HC8", models=models, lineage=lineage("undecided", 0.2, "unrelated")).verdict == UNDECIDED
    assert judge("HC8", models=models, lineage=lineage("related", 1e-300, "related")).verdict == REFUTED
    assert judge("HC8", models=[], lineage=lineage("related", 1e-300, "unrelated")).verdict == NOT_TESTED


# -------------------------------------------------------------------------------------------------------- behaviour


def contrast(
    task: str, difference: float, p: float, *, subject: str = MODEL, reference: str = BASE, **more: Any
) -> dict:
    return {
        "subject_id": subject, "reference_id": reference, "model_id": MODEL, "task": task, "metric": "acc",
        "is_primary": True, "higher_is_better": True, "difference": difference, "stderr": 0.01, "p_value": p, "n": 500,
    } | more  # fmt: skip


TRAINED = [contrast("sums", 0.7, 1e-12), contrast("stories", -0.01, 0.4)]


def equivalence(p: float, worse: float = 0.9, better: float = 0.5, label: str = "replace-scale-matrix") -> dict:
    return {
        "edit_id": label, "model_id": MODEL, "recipe": label, "task": "sums", "metric": "acc", "difference": -0.01,
        "low": -0.02, "high": 0.0, "margin": 0.02, "p_value": p, "p_worse": worse, "p_better": better, "power": 0.8,
        "n": 2000,
    }  # fmt: skip


def test_hc2_equivalence_loss_and_neither() -> None:
    def verdict(*rows: dict, contrasts: Rows = TRAINED) -> Verdict:
        return judge("HC2", evaluation_contrasts=contrasts, equivalence=rows)

    assert verdict(equivalence(0.001)).verdict == SUPPORTED
    assert verdict(equivalence(0.4, better=0.001)).verdict == SUPPORTED
    undecided = verdict(equivalence(0.4))
    assert undecided.verdict == UNDECIDED
    # Worse, but by how much more than the margin is not known: a contrast with zero may well be significant.
    assert "neither to be as good as the post model nor worse beyond the margin" in undecided.reason
    assert verdict(equivalence(0.9, worse=0.001)).verdict == REFUTED
    assert verdict(equivalence(0.001), equivalence(0.9, 0.001, label="replace-scale-one")).verdict == REFUTED
    # Edits of a few layers only answer another question.
    assert verdict(equivalence(0.9, 0.001, label="replace-scale-one-layers0")).verdict == NOT_TESTED
    assert verdict(equivalence(0.001), contrasts=[contrast("sums", 0.01, 0.4)]).verdict == NOT_TESTED
    assert verdict(equivalence(0.001), contrasts=[contrast("sums", -0.7, 1e-12)]).verdict == NOT_TESTED


def recovered(gain: float, half: float, line: float | None, label: str = "restore-left", task: str = "sums") -> dict:
    return {
        "edit_id": label, "model_id": MODEL, "recipe": label, "task": task, "gain": gain, "ci_low": gain - half,
        "ci_high": gain + half, "straight_line": line, "n": 500,
        "straight_line_low": None if line is None else line - half,
        "straight_line_high": None if line is None else line + half,
    }  # fmt: skip


def test_hc5_recovery_loss_and_the_straight_line() -> None:
    def verdict(*rows: dict, contrasts: Rows = TRAINED) -> Verdict:
        return judge("HC5", evaluation_contrasts=contrasts, recovered_gain=rows)

    assert verdict(recovered(0.9, 0.1, 0.3), recovered(0.95, 0.1, 0.3, "restore-right")).verdict == SUPPORTED
    assert verdict(recovered(0.9, 0.1, 0.3), recovered(0.0, 0.1, 0.0, "restore-right")).verdict == REFUTED
    assert verdict(recovered(0.9, 0.05, 0.95)).verdict == REFUTED
    # Not shown to be better than the straight line, and not shown to be no better either.
    assert verdict(recovered(0.9, 0.15, 0.95)).verdict == UNDECIDED
    assert verdict(recovered(0.9, 0.1, 0.85)).verdict == UNDECIDED
    assert verdict(recovered(0.6, 0.3, 0.1)).verdict == UNDECIDED
    assert verdict(recovered(0.9, 0.1, None)).verdict == UNDECIDED
    assert verdict(recovered(0.9, 0.1, 0.3), contrasts=[contrast("sums", 0.01, 0.3)]).verdict == NOT_TESTED
    # A task that it was not trained for decides nothing.
    assert verdict(recovered(0.0, 0.1, 0.3, task="stories")).verdict == NOT_TESTED


def disruption(
    tasks: Mapping[str, tuple[float, float]], p_worse: float, p_no_worse: float, **more: Any
) -> dict[str, Rows]:
    """Tables of disrupt-left on tasks (post's score, edit's score) against the mirror control."""
    edit = "m--disrupt-left"
    score = {"is_primary": True, "metric": "acc", "higher_is_better": True, "stderr": 0.01}
    test = {"model_id": MODEL, "recipe": "disrupt-left", "control": "mirror", "loss": -5.0, "control_loss": -4.9}
    test |= {"difference": -0.1, "difference_low": -0.5, "difference_high": 0.3, "n": 24, "weight_error": 0.51}
    test |= {"control_weight_error": 0.5, "p_difference": p_worse, "p_no_worse": p_no_worse}
    return {
        "edited_checkpoints": [
            {"edit_id": edit, "model_id": MODEL, "base_id": BASE, "label": "disrupt-left", "is_control": False}
        ],
        "evaluation_scores": [
            score | {"subject_id": subject, "task": task, "value": value}
            for task, values in tasks.items()
            for subject, value in zip((MODEL, edit), values, strict=True)
        ],
        "evaluation_contrasts": [
            contrast(task, after - before, 1e-9 if after < before - 0.05 else 0.5, subject=edit, reference=MODEL)
            for task, (before, after) in tasks.items()
        ],
        "control_tests": [test | {"task": task} | more for task in tasks],
    }


TASKS = {"sums": (0.9, 0.0), "boxes": (0.7, 0.1), "turns": (0.8, 0.02)}


def test_hc4_collapse_beyond_the_mirror_and_no_further_than_it() -> None:
    assert judge("HC4", **disruption(TASKS, 1e-6, 0.9)).verdict == SUPPORTED
    assert judge("HC4", **disruption(TASKS, 1e-6, 1e-6)).verdict == SUPPORTED  # worse, if only by little
    refuted = judge("HC4", **disruption(TASKS, 0.6, 1e-6))
    assert refuted.verdict == REFUTED
    assert "no evidence of a rotation" in refuted.reason
    assert refuted.power == pytest.approx(1.0, abs=1e-3)
    intact = {task: (before, before - 0.01) for task, (before, _) in TASKS.items()}
    assert judge("HC4", **disruption(intact, 0.6, 1e-6)).verdict == UNDECIDED
    # Not shown to be worse is not shown to be no worse.
    neither = judge("HC4", **disruption(TASKS, 0.6, 0.2))
    assert (neither.verdict, "in 3 neither is shown" in neither.reason) == (UNDECIDED, True)


def test_hc4_damage_that_is_not_matched_decides_nothing() -> None:
    for error in (0.4, 0.65, None):
        for p in ((1e-6, 0.9), (0.6, 1e-6)):
            assert judge("HC4", **disruption(TASKS, *p, weight_error=error)).verdict == UNDECIDED
    assert "not matched in 3" in judge("HC4", **disruption(TASKS, 1e-6, 0.9, weight_error=0.65)).reason


def test_hc4_floors_are_undecided_and_count_among_most() -> None:
    nothing_to_lose = {task: (0.0, 0.0) for task in TASKS}
    found = judge("HC4", **disruption(nothing_to_lose, 0.6, 1e-6))
    assert found.verdict == UNDECIDED
    assert "at a floor" in found.reason
    floor = {"note": "edit and control are both worse than the base"}
    noted = judge("HC4", **disruption(TASKS, 0.6, 1e-6, **floor))
    assert (noted.verdict, "3 are at a floor" in noted.reason) == (UNDECIDED, True)
    # Two of three tests at a floor: what the third shows is not what most show. A task without a score is left out.
    for p, word in (((1e-6, 0.9), SUPPORTED), ((0.6, 1e-6), REFUTED)):
        tables = disruption(TASKS | {"worked": (0.0, 0.0)}, *p)
        assert judge("HC4", **tables).verdict == word
        for row in tables["control_tests"][:2]:
            row |= floor
        assert judge("HC4", **tables).verdict == UNDECIDED


def test_hc4_the_trap_is_not_looked_at() -> None:
    """Unaligned signs destroy any model, so that such an edit must not decide."""
    tables = disruption(TASKS, 1e-6, 0.9)
    for row in tables["control_tests"]:
        row["recipe"] = "disrupt-left-unaligned"
    assert judge("HC4", **tables).verdict == NOT_TESTED


def test_ep1_gain_loss_and_noise() -> None:
    def verdict(difference: float, p: float) -> Verdict:
        rows = [contrast("demo_entity_tracking", difference, p), contrast("sums", 0.5, 1e-9)]
        return judge("EP1", evaluation_contrasts=rows)

    assert verdict(0.1, 1e-4).verdict == SUPPORTED
    assert verdict(-0.1, 1e-4).verdict == REFUTED
    assert verdict(0.01, 0.4).verdict == UNDECIDED
    assert judge("EP1", evaluation_contrasts=TRAINED).verdict == NOT_TESTED
    random = np.random.default_rng(0)
    called = sum(verdict(random.normal(0, 0.01), random.uniform()).verdict != UNDECIDED for _ in range(200))
    assert called <= 20


def test_ep1_of_a_perplexity_lower_is_better() -> None:
    rows = [contrast("entity_tracking_text", -0.5, 1e-6, higher_is_better=False)]
    found = judge("EP1", evaluation_contrasts=rows)
    assert (found.verdict, found.estimate) == (SUPPORTED, 0.5)


# --------------------------------------------------------------------------------------------------------- circuits


def test_ep2_f_and_random_circuits() -> None:
    def verdict(f: float | None, p: float, **more: Any) -> Verdict:
        row = {"model_id": MODEL, "circuit_model_id": BASE, "f": f, "rank_p": p, "random_draws": 199, "n_heads": 9}
        return judge("EP2", circuit_faithfulness=[row | more])

    assert verdict(0.9, 1 / 200).verdict == SUPPORTED
    assert verdict(0.9, 2 / 200).verdict == UNDECIDED
    assert verdict(0.6, 1 / 200).verdict == UNDECIDED
    assert verdict(0.3, 1 / 200).verdict == REFUTED
    assert verdict(None, 1.0).verdict == NOT_TESTED
    assert verdict(0.9, 1.0, n_heads=0).verdict == NOT_TESTED


def masks(leading: Mapping[str, str], p: float = 0.005, rank_p: float = 0.05) -> Rows:
    """Masks of group A in base and descendant; `leading` desiderata lead there, by a margin if p is small."""
    return [
        {"model_id": model, "circuit_model_id": BASE, "circuit_group": "A", "desideratum": desideratum}
        | {"accuracy": 0.7 if desideratum == lead else 0.1, "p_value": p if desideratum == lead else 0.9}
        | {"rank_p": rank_p if desideratum == lead else 0.9}
        | {"accuracy_low": 0.6 if desideratum == lead else 0.05, "accuracy_high": 0.8 if desideratum == lead else 0.2}
        for model, lead in leading.items()
        for desideratum in ("object", "position", "label")
    ]  # fmt: skip


def test_ep3_the_same_desideratum_another_or_none() -> None:
    assert judge("EP3", component_masks=masks({BASE: "object", MODEL: "object"})).verdict == SUPPORTED
    assert judge("EP3", component_masks=masks({BASE: "object", MODEL: "position"})).verdict == REFUTED
    assert judge("EP3", component_masks=masks({BASE: "object", MODEL: "position"}, p=0.5)).verdict == UNDECIDED
    one_as_good = masks({BASE: "object", MODEL: "position"}, rank_p=0.1)
    assert judge("EP3", component_masks=one_as_good).verdict == UNDECIDED
    assert judge("EP3", component_masks=masks({MODEL: "object"})).verdict == NOT_TESTED


def test_ep4_share_of_the_gain_and_random_heads() -> None:
    def verdict(patched: float, p: float, donor: float = 0.82, rank_p: float = 0.05) -> Verdict:
        row = {"recipient_id": BASE, "donor_id": MODEL, "circuit_group": "A", "n_prompts": 500, "p_value": p}
        row |= {"rank_p": rank_p, "random_draws": 19}
        row |= {
            "accuracy_recipient": 0.66,
            "accuracy_donor": donor,
            "accuracy_patched": patched,
            "accuracy_random": 0.66,
        }
        return judge("EP4", cross_model_patching=[row])

    assert verdict(0.82, 0.005).verdict == SUPPORTED
    assert verdict(0.70, 0.005).verdict == UNDECIDED
    assert verdict(0.82, 0.005, rank_p=0.1).verdict == UNDECIDED  # one of 19 random sets does as much
    assert verdict(0.82, 0.1).verdict == UNDECIDED  # above all of them, but not clear of how they scatter
    assert "19 draws, p 0.0050, rank p 0.050" in verdict(0.82, 0.005).reason
    assert verdict(0.65, 0.6).verdict == REFUTED
    assert verdict(0.82, 0.005, donor=0.67).verdict == NOT_TESTED


# ------------------------------------------------------------------------------------------------------------- all


def test_the_claims_there_are() -> None:
    assert list(CLAIMS) == [f"HC{i}" for i in range(1, 9)] + [f"EP{i}" for i in range(1, 5)]
    assert all(set(claim.needs) <= set(claim.tables) for claim in CLAIMS.values())


@pytest.mark.parametrize("name", list(CLAIMS))
def test_without_rows_a_claim_is_not_tested_and_says_why(name: str) -> None:
    claim = CLAIMS[name]
    found = judge(name, "" if claim.scope == "family" else MODEL)
    assert found.verdict == NOT_TESTED
    assert found.reason == f"there are no rows of {claim.needs[0]} yet."
    others = {table: [{"model_id": "another", "base_id": BASE}] for table in claim.needs if table != "lineage"}
    if claim.scope == "model" and others:
        assert judge(name, **others).verdict == NOT_TESTED


def test_every_claim_stands_in_the_docs_in_the_words_of_the_code() -> None:
    page = " ".join((PROJECT / "docs" / "claims.md").read_text(encoding="utf-8").split())
    for claim in CLAIMS.values():
        assert f"## {claim.name} " in page
        for text in (claim.sentence, claim.evidence, claim.control, claim.supported_by, claim.refuted_by):
            assert text in page
        assert claim.otherwise in page


def test_the_rules_load_without_heavy_libraries() -> None:
    program = "import rotoscale.claims, sys; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("n", [0, 3, 6, 28, 500, 3000])
def test_the_power_of_a_share_is_the_binomial_tail(n: int) -> None:
    enough = [count for count in range(n + 1) if wilson(count, n).low > 0.5] if n else []
    expected = stats.binom.sf(min(enough) - 1, n, 0.75) if enough else 0.0
    assert share_power(n) == pytest.approx(expected, rel=1e-9)
