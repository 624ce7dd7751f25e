"""Rows of `divergence`: mean token KL(base || post) on the prompts of every task of a family."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from resources.evaluation.divergence import DOCUMENTS, MEMORY, DivergenceError, divergence, predictions
from resources.evaluation.harness import HarnessError
from resources.evaluation.subjects import loaded, model_dtype
from rotoscale import versions

if TYPE_CHECKING:
    from resources.evaluation.divergence import Predictions
    from resources.evaluation.scoring import Scorer
    from resources.evaluation.subjects import Subject


def divergence_rows(scorer: Scorer, base: Subject, post: Subject, documents: int = DOCUMENTS) -> list[dict[str, Any]]:
    """Rows of `divergence` of one model: model_id, task, kl, stderr, n; none of a base.

    Found in the store, or computed: the base is loaded first, then the model. A task that cannot be loaded, or models
    without a common tokenizer, give no row.

    Raises SubjectError when one of the models cannot be loaded.
    """
    if base.content_hash == post.content_hash:
        return []
    rows: dict[str, dict[str, Any] | None] = {}
    texts: dict[str, list[str]] = {}
    keys = {}
    for task in scorer.tasks:
        try:
            texts[task.name] = [text.read for text in scorer.harness.texts(task, documents)]
        except HarnessError:
            continue  # its score says why
        hashes = [base.content_hash, post.content_hash]
        keys[task.name] = ("divergence", versions.PROBE, hashes, texts[task.name], model_dtype(scorer.device))
        rows[task.name] = _whole(scorer.store.find(*keys[task.name]))
    missing = [name for name, row in rows.items() if row is None]
    if missing:
        first: dict[str, Predictions] = {}
        threads = scorer.harness.threads if scorer.device == "cpu" else 1
        with loaded(base, scorer.device, scorer.tokenizer_folder) as (model, tokenizer):
            for name in missing:
                first[name] = predictions(model, tokenizer, texts[name], MEMORY / len(missing), threads=threads)
        with loaded(post, scorer.device, scorer.tokenizer_folder) as (model, tokenizer):
            for name in missing:
                positions = first[name].positions
                try:
                    second = predictions(model, tokenizer, texts[name], positions=positions, threads=threads)
                    rows[name] = asdict(divergence(first.pop(name), second))
                except (DivergenceError, IndexError):
                    continue
                scorer.store.keep(rows[name], *keys[name])
    return [{"model_id": post.id, "task": name, **row} for name, row in rows.items() if row is not None]


def _whole(found: Any) -> dict[str, Any] | None:
    """A stored row; None of another shape."""
    whole = isinstance(found, dict) and set(found) == {"kl", "stderr", "n"} and isinstance(found["kl"], float)
    return dict(found) if whole else None
