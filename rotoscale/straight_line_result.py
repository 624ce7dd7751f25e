"""The numbers on a straight line between two models' weights; light, because tables are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from rotoscale.statistic import statistic


@dataclass(frozen=True, kw_only=True)
class PointOnLine:
    """The loss on one task at one point of the line between two models (docs/methods.md, section 5b)."""

    loss: float | None = statistic("Mean over documents of -log p(right answer), in nats.")
    stderr: float | None = statistic("Its standard error over documents.")
    chord: float | None = statistic("The straight line between the two ends' losses.")
    barrier: float | None = statistic("Loss above the chord, paired by document; below 0 the loss is lower than it.")
    barrier_low: float | None = statistic("Lower end of the barrier's 95 % t-interval over documents.")
    barrier_high: float | None = statistic("Upper end.")
    n: int | None = statistic("Documents.")


@dataclass(frozen=True, kw_only=True)
class FeatureLinearity:
    """Features halfway between two models, layer by layer (docs/methods.md, section 5b)."""

    error: float | None = statistic(
        "|h(middle) - mean of ends| / (|h(a) - h(b)| / 2), mean over prompts: 0 for linear features, 1 where the "
        "middle is as far from the mean as the ends are; missing where the ends have the same features."
    )
    stderr: float | None = statistic("Its standard error over prompts.")
    cosine: float | None = statistic("Mean cosine over tokens of the middle's features with the mean of the ends'.")
    cosine_ends: float | None = statistic("Mean cosine of the middle's features with those of the nearer end.")
    prompts: int | None = statistic("Prompts.")
