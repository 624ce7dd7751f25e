"""Write the held-out documents that the demo tasks are scored on: `python -m demo.held_out`.

They come from the same generators as the training data, but of the held-out split, so no model has seen any of them;
the same seed gives the same files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from demo import arithmetic, entity_tracking, questions, stories

FOLDER = Path(__file__).parent / "tasks" / "data"
SEED = 100
"""Not the seed that `demo.evaluation` measures with while models are trained."""

DRAWS = 10_000


N = 2000
"""Documents of a task; there are fewer held-out sums than that."""


def documents(seed: int = SEED) -> dict[str, list[dict[str, Any]]]:
    """Return the documents of every task by name; none occurs twice, so that they count as independent."""
    return {
        "entity_tracking": _distinct(entity_tracking.held_out_examples, seed),
        "arithmetic": _distinct(arithmetic.held_out_examples, seed),
        "worked_sums": _distinct(arithmetic.held_out_worked, seed),
        "questions": _distinct(questions.held_out_examples, seed),
        "turns": _distinct(questions.held_out_turns, seed),
        "stories": [{"text": text} for text in dict.fromkeys(stories.held_out_stories(N, seed))],
    }


def _distinct(examples: Callable[[int, int], Sequence[Any]], seed: int) -> list[dict[str, Any]]:
    """Up to N different examples: of so many draws that next to none of the held-out sums is missed."""
    found = {example.prompt: example.answer for example in examples(DRAWS, seed)}
    return [{"prompt": prompt, "answer": answer} for prompt, answer in list(found.items())[:N]]


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
