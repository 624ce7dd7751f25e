"""A clean run, kept: what every later run computes only its differences from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from resources.circuits.attention import Scaling, attend, handle
from resources.circuits.hooks import Hooks
from rotoscale.circuits.heads import CircuitError

if TYPE_CHECKING:
    import torch


class Recordable(Protocol):
    """What a run is recorded of: a `resources.circuits.model.HeadModel`, which checks itself by such a run."""

    @property
    def model_id(self) -> str: ...  # noqa: D102
    @property
    def blocks(self) -> Any: ...  # noqa: D102
    @property
    def norm(self) -> Any: ...  # noqa: D102
    @property
    def decoder(self) -> Any: ...  # noqa: D102
    @property
    def context(self) -> int: ...  # noqa: D102

    def taken_apart(self) -> AbstractContextManager[Any]:
        """Around a run whose attention is computed here."""
        ...


@dataclass
class Recording:
    """One batch of prompts (n) of one length, run through a model. Lists are by layer."""

    n: int
    length: int
    residuals: list[torch.Tensor] = field(default_factory=list)
    """Residual stream that enters the layer (n, length, width)."""
    heads: list[torch.Tensor] = field(default_factory=list)
    """Outputs of the heads side by side, the input of the output projection (n, length, heads * head size)."""
    keys: list[torch.Tensor] = field(default_factory=list)
    """After rotary (n, kv heads, length, head size)."""
    values: list[torch.Tensor] = field(default_factory=list)
    masks: list[torch.Tensor] = field(default_factory=list)
    """Which position may see which (length, length)."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    """What else the layer is called with."""
    final: Any = None
    """What leaves the last layer at the last token (n, width)."""

    def take(self, index: torch.Tensor) -> Recording:
        """The same of some of the prompts."""
        part = replace(self, n=len(index), final=self.final[index])
        for name in ("residuals", "heads", "keys", "values"):
            setattr(part, name, [one[index] for one in getattr(self, name)])
        return part


def record(model: Recordable, tokens: torch.Tensor, heads: Sequence[torch.Tensor] | None = None) -> Recording:
    """Run tokens (n, length) and keep everything that a partial run needs.

    With `heads`, (length, heads * head size) or (n, length, heads * head size) by layer, these stand for all head
    outputs: the run of an empty circuit.

    Raises CircuitError when the prompts are longer than the model's context.
    """
    _require_fit(model, tokens)
    made = Recording(*tokens.shape)

    def keep_final(hidden: torch.Tensor) -> None:
        made.final = hidden[:, -1]

    def keep_heads(z: torch.Tensor) -> torch.Tensor:
        if heads is not None:
            z = heads[len(made.heads)].expand_as(z)
        made.heads.append(z)
        return z

    def attention(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: Scaling
    ) -> torch.Tensor:
        allowed = allowed_positions(mask, made.length, query.device)
        made.keys.append(key)
        made.values.append(value)
        made.masks.append(allowed)
        return attend(query, key, value, allowed, scaling)

    with Hooks() as hooks, model.taken_apart():
        for layer, block in enumerate(model.blocks):
            hooks.on_call(f"layer {layer}", block.module, lambda args, kwargs: _keep_call(made, args, kwargs))
            hooks.on_input(f"the head outputs of layer {layer}", block.output, keep_heads)
            hooks.always(handle(block.attention, attention))
        hooks.on_input("the last norm", model.norm, keep_final)
        model.decoder(input_ids=tokens, use_cache=False)
    return made


def record_heads(model: Recordable, tokens: torch.Tensor) -> list[torch.Tensor]:
    """Outputs of all heads (n, length, heads * head size) by layer, by the model's own attention."""
    _require_fit(model, tokens)
    kept: list[torch.Tensor] = []
    with Hooks() as hooks:
        for layer, block in enumerate(model.blocks):
            hooks.on_input(f"the head outputs of layer {layer}", block.output, kept.append)
        model.decoder(input_ids=tokens, use_cache=False)
    return kept


def _require_fit(model: Recordable, tokens: torch.Tensor) -> None:
    if tokens.shape[1] > model.context:
        raise CircuitError(
            f"a prompt has {tokens.shape[1]} tokens, and the context of {model.model_id} holds {model.context}; "
            "ask for fewer boxes"
        )


def _keep_call(made: Recording, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if args:
        hidden, args = args[0], args[1:]
    else:
        hidden = kwargs["hidden_states"]
    made.residuals.append(hidden)
    made.calls.append((args, {name: value for name, value in kwargs.items() if name != "hidden_states"}))


def allowed_positions(mask: torch.Tensor | None, length: int, device: Any) -> torch.Tensor:
    """The mask that a model gives its attention, as what may be seen (length, length)."""
    import torch

    if mask is None:
        return torch.ones(length, length, dtype=torch.bool, device=device).tril()
    first = mask[0, 0]
    return first if first.dtype == torch.bool else first == 0
