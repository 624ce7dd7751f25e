"""Write the held-out documents that the demo tasks are scored on: `python -m demo.held_out`.

They come from the same generators as the training data, but of the held-out split, so no model has seen any of them;
the same seed gives the same files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo import arithmetic, entity_tracking, questions, stories

FOLDER = Path(__file__).parent / "tasks" / "data"
SEED = 100
"""Not the seed that `demo.evaluation` measures with while models are trained."""


def documents(seed: int = SEED) -> dict[str, list[dict[str, Any]]]:
    """Return the documents of every task by name."""
    return {
        "entity_tracking": _questions(entity_tracking.held_out_examples(200, seed)),
        "arithmetic": _questions(arithmetic.held_out_examples(200, seed)),
        "questions": _questions(questions.held_out_examples(200, seed)),
        "stories": [{"text": text} for text in stories.held_out_stories(60, seed)],
    }


def _questions(examples: Iterable[Any]) -> list[dict[str, Any]]:
    return [{"prompt": example.prompt, "answer": example.answer} for example in examples]


def write(folder: Path = FOLDER, seed: int = SEED) -> None:
    """Write one JSONL file for each task."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in documents(seed).items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (default: %(default)s)")
    write(parser.parse_args().out)


if __name__ == "__main__":
    main()
