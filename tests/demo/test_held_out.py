"""The documents of the demo tasks: what the generators give, each once, none trained on; who can do what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from demo import held_out
from demo.documents import Example, split_of
from demo.evaluation import accuracy
from demo.shipped import CHECKPOINTS, load

TASKS = Path(held_out.FOLDER).parent


def shipped(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (held_out.FOLDER / f"{name}.jsonl").read_text().splitlines()]


def test_the_shipped_documents_are_those_that_the_script_writes() -> None:
    made = held_out.documents()
    assert {file.stem for file in held_out.FOLDER.glob("*.jsonl")} == set(made)
    assert {file.stem for file in TASKS.glob("*.yaml")} == set(made)
    for name, rows in made.items():
        assert rows == shipped(name), name


def test_no_document_occurs_twice_and_there_are_enough() -> None:
    for file in held_out.FOLDER.glob("*.jsonl"):
        lines = file.read_text().splitlines()
        assert len(set(lines)) == len(lines)
        # A tenth of the 15,050 problems up to 99 is held out; of everything else there is any number.
        assert len(lines) == held_out.N if file.stem not in ("arithmetic", "worked_sums") else 1400 < len(lines) < 1600


def test_every_document_is_of_the_held_out_split() -> None:
    for row in shipped("worked_sums"):
        assert split_of(row["prompt"].removesuffix(" step by step.")) == "held_out"
    for row in shipped("turns"):
        facts = row["prompt"].removeprefix("User: ").rsplit(". ", 1)[0] + "."
        assert split_of(facts) == "held_out"


@pytest.mark.parametrize(("task", "model"), [("turns", "demo-instruct"), ("worked_sums", "demo-reasoning")])
def test_only_the_descendant_can_do_what_it_was_trained_for(task: str, model: str) -> None:
    family = AutoTokenizer.from_pretrained(CHECKPOINTS / "demo-base")
    examples = [Example(**row) for row in shipped(task)[:60]]
    assert accuracy(load(CHECKPOINTS / "demo-base"), family, examples).value == 0
    assert accuracy(load(CHECKPOINTS / model), family, examples).value > 0.6
