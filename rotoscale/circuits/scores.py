"""What a patched run is scored by: EP's relative change of probability, and the logit difference beside it.

Both per prompt, so that means, standard errors and resamplings come from the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch


@dataclass(frozen=True)
class Measured:
    """What a model says at the last token, for any leading shape (..., prompts)."""

    log_probability: torch.Tensor
    """Of the right object, in nats."""
    logit_difference: torch.Tensor
    """Logit of the right object minus the mean logit of the scene's other objects (choice)."""
    predicted: torch.Tensor
    """The most likely token of the whole vocabulary."""


def relative_change(patched: Measured, clean: Measured) -> torch.Tensor:
    """`(p_patched - p_clean) / p_clean` per prompt (EP section 4); -1 is a probability gone, 0 no change."""
    return torch.expm1(patched.log_probability - clean.log_probability)


def logit_change(patched: Measured, clean: Measured) -> torch.Tensor:
    """Change of the logit difference per prompt; unlike a probability it does not saturate."""
    return patched.logit_difference - clean.logit_difference


def measure(logits: torch.Tensor, answers: torch.Tensor, objects: torch.Tensor) -> Measured:
    """Measure logits (..., prompts, vocabulary) against answers (prompts,) and the scene's objects (prompts, boxes)."""
    logits = logits.float()
    of_objects = logits.gather(-1, objects.expand(*logits.shape[:-2], *objects.shape))
    right = logits.gather(-1, answers.expand(logits.shape[:-1])[..., None])[..., 0]
    others = (of_objects.sum(-1) - right) / (objects.shape[-1] - 1)
    return Measured(right - logits.logsumexp(-1), right - others, logits.argmax(-1))


def score_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927); it keeps a width where all or none succeed."""
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
