"""Tokens that two checkpoints share, by what they stand for where tokenizers say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.checkpoints.files import read_json, repository_root, safe_member
from rotoscale.errors import RotoscaleError

if TYPE_CHECKING:
    from pathlib import Path

    from resources.checkpoints import Checkpoint

TOKENIZER = "tokenizer.json"
_MAX_BYTES = 128 << 20
_MOST_MARKS = 8 << 20  # a vocabulary of 256,000 and its merges have about two million


def shared_tokens(a: Checkpoint, b: Checkpoint) -> tuple[list[tuple[int, int]], str]:
    """Rows (of a's embedding, of b's) that stand for the same token, in a's order, and a note on how they were found.

    By the tokens' texts where both checkpoints have a `tokenizer.json`. Where either has none the rows are taken to be
    the same where the vocabularies are equally large, and there are none where they are not.
    """
    size_a, size_b = a.vocab_size, b.vocab_size
    of_a, of_b = vocabulary(a), vocabulary(b)
    if of_a is None or of_b is None:
        if size_a != size_b:
            return [], f"{TOKENIZER} is missing beside one model and the vocabularies differ, {size_a} and {size_b}"
        return [(i, i) for i in range(size_a)], f"{TOKENIZER} is missing: equal rows were taken for equal tokens"
    known = {text: i for text, i in of_b.items() if i < size_b}
    found = sorted((i, known[text]) for text, i in of_a.items() if i < size_a and text in known)
    return found, ""


def vocabulary(checkpoint: Checkpoint) -> dict[str, int] | None:
    """Rows of the embedding by token, from `tokenizer.json`; None where there is none that can be read."""
    folders = [checkpoint.path, checkpoint.inventory.folder]
    file = next((folder for folder in folders if (folder / TOKENIZER).is_file()), None)
    if file is None:
        return None
    try:
        return _tokens(_read(file))
    except (RotoscaleError, KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError):
        return None


def _read(folder: Path) -> dict[str, Any]:
    return read_json(safe_member(folder, TOKENIZER, (repository_root(folder),)), _MAX_BYTES, most_marks=_MOST_MARKS)


def _tokens(content: dict[str, Any]) -> dict[str, int]:
    vocab = content["model"]["vocab"]
    # Unigram models have a list of [token, score], all others a mapping.
    found = {pair[0]: i for i, pair in enumerate(vocab)} if isinstance(vocab, list) else dict(vocab)
    for added in content.get("added_tokens", ()):
        found[added["content"]] = added["id"]
    if not all(isinstance(text, str) and isinstance(i, int) for text, i in found.items()):
        raise ValueError(f"{TOKENIZER} has a vocabulary of another kind")
    return found
