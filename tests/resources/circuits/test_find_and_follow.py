"""The two entry points: rows for every table, on the model that is known and on the shipped family."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resources.circuits import finding, following
from resources.circuits.finding import CircuitResult, find_circuit
from resources.circuits.following import follow_circuit
from resources.circuits.model import HeadModel
from resources.circuits.settings import QUICK
from rotoscale.circuits.heads import CircuitError, Head
from tests.resources.circuits import wired, zoo

SETTINGS = replace(
    QUICK,
    n_boxes=3,
    prompts=12,
    accuracy_prompts=12,
    faithfulness_prompts=15,
    mean_prompts=30,
    curve_prompts=6,
    curve_draws=2,
    percentages=(10, 50, 100),
    resamples=1,
    resample_prompts=9,
    desiderata=("object", "reflexive"),
    mask_prompts=96,
    mask_test_prompts=12,
    patch_prompts=12,
    knockout_prompts=6,
    draws=5,
    bootstrap=20,
)
KEYS = {
    "circuit_heads": ("model_id", "circuit_group", "layer", "head"),
    "circuit_edges": (
        *("model_id", "circuit_group", "sender_layer", "sender_head", "receiver_layer", "receiver_head"),
        *("via", "ablation"),
    ),
    "circuit_screens": ("model_id", "circuit_group"),
    "circuit_faithfulness": ("model_id", "circuit_model_id"),
    "faithfulness_curves": ("model_id", "circuit_model_id", "ablation", "n_heads"),
    "component_masks": ("model_id", "circuit_model_id", "circuit_group", "desideratum"),
    "component_gains": ("model_id", "base_id", "circuit_group", "desideratum"),
    "cross_model_patching": ("recipient_id", "donor_id", "component"),
    "circuit_overlap": ("model_id", "circuit_model_id", "what"),
    "circuit_stability": ("model_id", "resample"),
    "circuit_checks": ("model_id", "check"),
    "attention_patterns": ("model_id", "queried_box", "layer", "head"),
    "attention_knockouts": ("model_id", "query_position", "key_position", "first_layer"),
}


@pytest.fixture(scope="module")
def base() -> HeadModel:
    return HeadModel(wired.model(), zoo.tokenizer(), model_id="base")


@pytest.fixture(scope="module")
def circuit(base: HeadModel) -> CircuitResult:
    told: list[str] = []
    found = find_circuit(base, settings=SETTINGS, progress=lambda label, done, total: told.append(label))
    assert any("path patching D" in label for label in told)
    return found


def check_rows(tables: dict[str, list[dict[str, Any]]]) -> None:
    """Rows are plain, of one shape by table, and no key stands twice."""
    for name, rows in tables.items():
        json.dumps(rows)
        assert len({tuple(row) for row in rows}) <= 1, name
        keys = [tuple(row[key] for key in KEYS[name]) for row in rows]
        assert len(set(keys)) == len(keys), name


def test_everything_about_the_known_circuit(circuit: CircuitResult) -> None:
    assert set(circuit.tables) == set(finding.TABLES)
    check_rows(circuit.tables)
    assert {group: set(heads) for group, heads in circuit.groups.items() if heads} == wired.CIRCUIT
    heads = circuit.tables["circuit_heads"]
    assert len(heads) == 4 * 16  # every head in every step
    assert {(row["circuit_group"], Head(row["layer"], row["head"])) for row in heads if row["kept"]} == {
        (group, head) for group, members in wired.CIRCUIT.items() for head in members
    }
    assert all(row["score"] == 0 for row in heads if row["circuit_group"] == "D" and row["layer"] > 0)
    (row,) = circuit.tables["circuit_faithfulness"]
    assert (row["accuracy_full"], row["accuracy_circuit"], row["faithfulness"]) == (1.0, 1.0, 1.0)
    assert row["accuracy_random"] < 0.7
    assert row["f"] == pytest.approx(1.0, abs=0.25)
    assert row["accuracy_full_by_box"] == [1.0, 1.0, 1.0]
    assert {row["jaccard_heads"] for row in circuit.tables["circuit_stability"][:1]} == {1.0}
    assert len(circuit.tables["circuit_checks"]) == 3
    assert all(row["passed"] for row in circuit.tables["circuit_checks"])
    masks = {(row["circuit_group"], row["desideratum"]): row["accuracy"] for row in circuit.tables["component_masks"]}
    assert masks["A", "object"] == 1.0
    assert masks["B", "reflexive"] == 1.0


def test_wired_heads_look_where_they_were_wired_to(circuit: CircuitResult) -> None:
    """The fetcher at the last token looks at the object itself, the structure reader four tokens back."""
    rows = circuit.tables["attention_patterns"]
    assert {row["queried_box"] for row in rows} == {1, 2, 3}
    assert len(rows) == 3 * 16
    for row in rows:
        pattern = _square(row["weights"])
        assert len(pattern) == len(row["tokens"]) == row["last"] + 1
        assert all(sum(line) == pytest.approx(1, abs=0.02) for line in pattern)
        assert row["tokens"][row["query_label"]] == row["tokens"][row["previous_query_label"]]
        assert row["predicted"] == row["answer"]
        if (row["layer"], row["head"]) == (3, 0):
            looked_at = max(range(row["last"] + 1), key=pattern[row["last"]].__getitem__)
            assert row["tokens"][looked_at].strip() == row["answer"]
        if (row["layer"], row["head"]) == (0, 2):
            told = row["previous_query_label"]
            assert max(range(told + 1), key=pattern[told].__getitem__) == told - 4


def _square(weights: list[float]) -> list[list[float]]:
    lines: list[list[float]] = []
    while len(weights) > sum(map(len, lines)):
        first = sum(map(len, lines))
        lines.append(weights[first : first + len(lines) + 1])
    return lines


def test_a_curve_ends_at_the_whole_model(circuit: CircuitResult) -> None:
    rows = circuit.tables["faithfulness_curves"]
    for ablation in ("mean", "counterfactual"):
        mine = [row for row in rows if row["ablation"] == ablation]
        assert [row["n_heads"] for row in mine] == [2, 8, 16]
        assert mine[-1]["f"] == pytest.approx(1.0, abs=1e-4)
        assert all(math.isfinite(row["cpr"]) and math.isfinite(row["cmd_log"]) for row in mine)


def test_a_copy_of_the_base_is_as_the_base(base: HeadModel, circuit: CircuitResult) -> None:
    copy = HeadModel(wired.model(), zoo.tokenizer(), model_id="copy")
    own = replace(circuit, model_id="copy")
    found = follow_circuit(circuit, base, copy, SETTINGS, own=own)
    assert set(found.tables) == set(following.TABLES)
    check_rows(found.tables)
    (row,) = found.tables["circuit_faithfulness"]
    (before,) = circuit.tables["circuit_faithfulness"]
    assert row["model_id"] == "copy"
    assert row["circuit_model_id"] == "base"
    assert row["accuracy_circuit"] == before["accuracy_circuit"]
    assert row["f"] == pytest.approx(before["f"], abs=1e-5)
    assert all(row["gain"] == 0 for row in found.tables["component_gains"])
    assert {row["jaccard"] for row in found.tables["circuit_overlap"]} == {1.0}
    for row in found.tables["cross_model_patching"]:
        assert row["accuracy_patched"] == row["accuracy_recipient"] == row["accuracy_donor"] == 1.0
    assert {(row["recipient_id"], row["donor_id"]) for row in found.tables["cross_model_patching"]} == {
        ("base", "copy"),
        ("copy", "base"),
    }
    edges = {(row["sender_layer"], row["receiver_layer"], row["via"]) for row in found.tables["circuit_edges"]}
    assert edges == {(3, -1, "logits"), (2, 3, "q"), (1, 2, "v"), (0, 1, "v")}


def test_a_model_that_cannot_do_the_task_has_no_circuit() -> None:
    found = find_circuit(zoo.model("llama"), zoo.tokenizer(), SETTINGS, model_id="random")
    check_rows(found.tables)
    assert not any(found.groups.values())
    assert "random answers" in found.reason
    assert found.tables["component_masks"] == []
    (row,) = found.tables["circuit_faithfulness"]
    assert row["accuracy_random"] is None
    assert row["n_heads"] == 0


def test_unlike_models_are_refused(base: HeadModel, circuit: CircuitResult) -> None:
    with pytest.raises(CircuitError, match="do not correspond"):
        follow_circuit(circuit, base, HeadModel(zoo.model("llama"), zoo.tokenizer()), SETTINGS)


def test_the_shipped_base_has_the_circuit_that_a_quick_look_saw() -> None:
    """Heads 4 and 7 of layer 0 carry nearly all: they tell which letter and which object; layer 1 fetches."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from resources.circuits.chain import find_chain
    from resources.circuits.finding import own_means
    from resources.circuits.prompts import PromptMaker

    folder = Path(__file__).resolve().parents[3] / "demo" / "checkpoints" / "demo-base"
    stock = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    model = HeadModel(stock, AutoTokenizer.from_pretrained(folder), model_id="demo-base")
    maker = PromptMaker(model.tokenizer, context=model.context)
    means = own_means(model, maker, QUICK)
    chain = find_chain(model, maker, QUICK, seed=0, n_prompts=28, means=means, all_edges=False)
    assert chain.scored["B"].candidates[0] == Head(0, 4)
    assert chain.scored["K"].candidates[0] == Head(0, 4)
    assert chain.scored["V"].candidates[0] == Head(0, 7)
    assert {head.layer for head in chain.scored["A"].candidates[:2]} == {1}
    assert chain.kept["C"] == chain.kept["D"] == ()
    assert "no head passes as position detector" in chain.reason
