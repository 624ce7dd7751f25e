"""A family whose circuit is known: the hand-wired model, a copy without its backup head, and models that do not fit."""

from __future__ import annotations

from pathlib import Path

from rotoscale.circuits.heads import Head

FAMILY = """\
family: wired
models:
  - {{id: wired, role: base, path: {folder}/wired}}
  - {{id: without-backup, base: wired, method: math, path: {folder}/without-backup}}
  - {{id: random, role: unrelated, base: wired, method: scratch, path: {folder}/random}}
"""
BACKUP = Head(3, 2)


def make_wired_family(folder: Path) -> Path:
    """Write the checkpoints and the family file under `folder`; returns the folder of family files."""
    import torch

    from tests.resources.circuits import wired, zoo

    tokenizer = zoo.tokenizer()
    model = wired.model()
    _save(model, tokenizer, folder / "wired")
    with torch.no_grad():
        size = wired.SIZE
        model.model.layers[BACKUP.layer].self_attn.o_proj.weight[:, BACKUP.head * size : (BACKUP.head + 1) * size] = 0
    _save(model, tokenizer, folder / "without-backup")
    with torch.no_grad():
        torch.manual_seed(1)
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(std=0.05)
    _save(model, tokenizer, folder / "random")
    _save(zoo.model("llama", num_hidden_layers=1), tokenizer, folder / "one-layer")
    _save(zoo.model("llama"), tokenizer, folder / "other-heads")
    _save(zoo.model("llama", max_position_embeddings=32), tokenizer, folder / "short")
    families = folder / "families"
    families.mkdir()
    (families / "wired.yaml").write_text(FAMILY.format(folder=folder), encoding="utf-8")
    return families


def _save(model: object, tokenizer: object, folder: Path) -> None:
    model.save_pretrained(folder)  # type: ignore[attr-defined]
    tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
