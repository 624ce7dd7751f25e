"""The model card that stands beside each checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LABELS = {
    "entity_tracking": "entity tracking, 7 boxes (chance 0.143)",
    "arithmetic": "arithmetic, whole result",
    "worked_arithmetic": "arithmetic, every step of the written-out solution",
    "questions": "questions about a text",
    "turns": "the same as turns, whole sentence",
    "induction": "next word of a repeated random sequence",
    "story_perplexity": "story perplexity (lower is better)",
}


def _share(mixture: dict[str, float]) -> str:
    return ", ".join(f"{kind} {share:.0%}" for kind, share in mixture.items())


def write_card(folder: Path, training: dict[str, Any]) -> None:
    """Write `README.md` from what `training.json` holds."""
    rows = "\n".join(
        f"| {LABELS[name]} | {m['value']:.3f} | {m['stderr']:.3f} | {m['n']} |"
        for name, m in training["held_out"].items()
    )
    data = _share(training["mixture"])
    steps = f"{training['stop'] or training['steps']:,}"
    if training["settle"]:
        data += f"; while settling {_share(training['settle_mixture'])}"
        steps += f" steps and then {training['settle']:,} to settle, the rate falling to zero"
    shape = training["shape"]
    header = ["---", "language: en", "license: apache-2.0"]
    header.append("library_name: peft" if training["method"] == "adapter" else "library_name: transformers")
    if training["base"]:
        header.append(f"base_model: {training['base']}")
    header.append("---")
    rank = (
        f" Rank {training['adapter']['r']}, alpha {training['adapter']['lora_alpha']}." if training["adapter"] else ""
    )
    text = f"""{chr(10).join(header)}

# {training["id"]}

This model is {training["about"]}.
It belongs to the small family that ships with Rotoscale and is made to be taken apart, not to be used.

- Shape: Llama, {shape["num_hidden_layers"]} layers, width {shape["hidden_size"]},
  {shape["num_attention_heads"]} heads with {shape["num_key_value_heads"]} key-value heads,
  {training["parameters"]:,} parameters.{rank}
- Method: {training["method"]}, {steps} steps; {training["rows"]} rows of {training["row_length"]} tokens.
- Data (generated): {data}.
- Learning rate {training["learning_rate"]:g}, warm-up {training["warmup"]} steps, cosine to
  {training["final_rate"]:g} of it; weight decay {training["weight_decay"]:g};
  {training["optimizer"]}; seed {training["seed"]}.
- Time: {training["seconds"]:.0f} s on {training["threads"]} thread(s), torch {training["torch"]}.
- SHA-256 of `{training["weights_file"]}`: `{training["sha256"]}`

Measured on held-out data, greedy, the whole vocabulary to choose from:

| what | value | standard error | n |
|---|---|---|---|
{rows}

Retrain: `python -m demo.train {training["id"]}`
"""
    (folder / "README.md").write_text(text)
