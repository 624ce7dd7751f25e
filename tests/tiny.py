"""Tiny real checkpoints: a Llama with grouped-query attention, trained a little, fine-tuned, and damaged copies."""

from __future__ import annotations

import shutil
from pathlib import Path

FAMILY = """\
family: tiny
title: Tiny family
models:
  - {{id: base, role: base, method: base, path: {0}/base}}
  - {{id: tuned, base: base, method: instruct, path: {0}/tuned}}
  - {{id: unrelated, base: base, role: unrelated, method: scratch, path: {0}/unrelated}}
"""


def make_family(folder: Path) -> Path:
    """Base, tuned and unrelated under `folder`, all loadable by transformers."""
    import torch

    base = _llama(seed=0)
    _train(base, seed=1, steps=8, rate=3e-3)
    _save(base, folder / "base")
    _train(base, seed=2, steps=4, rate=3e-4)
    _save(base, folder / "tuned")
    _save(_llama(seed=3).to(torch.bfloat16), folder / "unrelated")
    return folder


def _llama(seed: int):  # type: ignore[no-untyped-def]
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=96,
            hidden_size=32,
            intermediate_size=80,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            initializer_range=0.1,
        )
    )


def _train(model, seed: int, steps: int, rate: float) -> None:  # type: ignore[no-untyped-def]
    import torch

    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        tokens = torch.randint(0, 96, (8, 32), generator=generator)
        tokens[:, 16:] = tokens[:, :16]  # something to learn: the second half repeats the first
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _save(model, folder: Path) -> None:  # type: ignore[no-untyped-def]
    model.save_pretrained(folder)


def write_family(folder: Path, checkpoints: Path, more: str = "") -> Path:
    """A family file over tiny checkpoints; `more` is appended to its models."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(FAMILY.format(checkpoints) + more, encoding="utf-8")
    return folder


def truncated_copy(source: Path, target: Path) -> Path:
    """A copy of a checkpoint whose weights file was cut short."""
    shutil.copytree(source, target)
    weights = target / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return target


def with_nan(source: Path, target: Path) -> Path:
    """A copy of a checkpoint with one NaN in one matrix."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target
