"""The held-out documents of the demo tasks, read from beside this file.

The task files name these functions instead of a data file, because lm-eval takes a relative data file from wherever it
was started; so the tasks work from any folder, also with lm-eval's own command line:

    lm_eval run --model hf --model_args pretrained=demo/checkpoints/demo-base,dtype=float32 \
        --include_path demo/tasks --tasks demo_arithmetic

The data are made by `python -m demo.held_out`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _documents(name: str) -> dict[str, Any]:
    """One split, `test`, of the lines of a JSONL file in `data/`."""
    from datasets import Dataset

    file = Path(__file__).parent / "data" / f"{name}.jsonl"
    with file.open(encoding="utf-8") as lines:
        return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def entity_tracking(**_: Any) -> dict[str, Any]:
    """Which object is in the box: prompt and answer."""
    return _documents("entity_tracking")


def arithmetic(**_: Any) -> dict[str, Any]:
    """Sums and differences in figures: prompt and answer."""
    return _documents("arithmetic")


def worked_sums(**_: Any) -> dict[str, Any]:
    """Sums and differences to be worked out step by step: prompt and the whole solution."""
    return _documents("worked_sums")


def turns(**_: Any) -> dict[str, Any]:
    """Questions about a few facts as turns of a conversation: prompt and the whole answering sentence."""
    return _documents("turns")


def questions(**_: Any) -> dict[str, Any]:
    """Questions about a few facts: prompt and answer."""
    return _documents("questions")


def stories(**_: Any) -> dict[str, Any]:
    """Whole stories: text."""
    return _documents("stories")
