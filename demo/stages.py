"""How each member of the family is trained, as data.

A stage names the data mixture, the number of steps, the learning rate and the seed. `demo.train` does what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Method = Literal["from scratch", "full fine-tuning", "adapter"]


@dataclass(frozen=True)
class Shape:
    """The architecture that all members share."""

    hidden_size: int = 128
    intermediate_size: int = 320
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    max_position_embeddings: int = 256
    tie_word_embeddings: bool = True


@dataclass(frozen=True)
class TrainingStage:
    """One training run.

    The learning rate is shaped over `steps`. Where `stop` is set, training ends there and, with fresh optimizers,
    settles for `settle` more steps on `settle_mixture`, in which the rate falls to zero.
    """

    id: str
    about: str
    method: Method
    mixture: dict[str, float]
    steps: int
    learning_rate: float
    seed: int
    stop: int | None = None
    settle: int = 0
    settle_mixture: dict[str, float] = field(default_factory=dict)
    base: str | None = None
    warmup: int = 50
    rows: int = 32
    row_length: int = 96
    final_rate: float = 0.1
    weight_decay: float = 0.1
    shape: Shape = Shape()


LORA: dict[str, Any] = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0}
"""Size of the adapter; it sits on all seven projections of every layer."""

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_EVERYTHING = {
    "induction": 0.10,
    "binding": 0.20,
    "entity tracking, few boxes": 0.10,
    "arithmetic": 0.13,
    "questions": 0.32,
    "stories": 0.15,
}
_SETTLING = {
    "induction": 0.10,
    "binding": 0.08,
    "entity tracking, few boxes": 0.02,
    "arithmetic": 0.45,
    "questions": 0.20,
    "stories": 0.15,
}
_BASE = "demo-base"

STAGES: dict[str, TrainingStage] = {
    stage.id: stage
    for stage in (
        TrainingStage(
            "demo-base",
            "the base of the family, trained from scratch on everything but turns and worked solutions",
            "from scratch",
            _EVERYTHING,
            4000,
            2e-3,
            seed=1,
            stop=1000,
            settle=500,
            settle_mixture=_SETTLING,
            warmup=200,
        ),
        TrainingStage(
            "demo-scratch",
            "no relative of the base: same shape, same data, another seed, trained from scratch",
            "from scratch",
            _EVERYTHING,
            4000,
            2e-3,
            seed=2,
            stop=1000,
            settle=500,
            settle_mixture=_SETTLING,
            warmup=200,
        ),
        TrainingStage(
            "demo-instruct",
            "the base, fine-tuned on questions and answers as turns of a conversation",
            "full fine-tuning",
            {"turns": 0.6, "questions": 0.1, "arithmetic": 0.1, "entity tracking, few boxes": 0.1, "stories": 0.1},
            400,
            1e-4,
            seed=11,
            base=_BASE,
        ),
        TrainingStage(
            "demo-reasoning",
            "the base, fine-tuned on sums written out step by step",
            "full fine-tuning",
            {"worked arithmetic": 0.8, "arithmetic": 0.1, "entity tracking, few boxes": 0.1},
            1000,
            4e-4,
            seed=12,
            base=_BASE,
        ),
        TrainingStage(
            "demo-math",
            "the base, fine-tuned on arithmetic",
            "full fine-tuning",
            {"arithmetic": 0.9, "entity tracking, few boxes": 0.1},
            400,
            1e-4,
            seed=13,
            base=_BASE,
        ),
        TrainingStage(
            "demo-math-lora",
            "the base with a low-rank adapter, trained on the same arithmetic as demo-math",
            "adapter",
            {"arithmetic": 0.9, "entity tracking, few boxes": 0.1},
            400,
            4e-4,
            seed=13,
            base=_BASE,
            weight_decay=0.0,
        ),
    )
}
"""Every member of the family, by name."""
