"""Hooks on a model's modules that are removed afterwards and that must have run.

A hook that silently never fires is the classic error of patching: the run looks right and nothing was patched. So a
block of hooks fails on leaving when one of them was not called.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rotoscale.circuits.heads import CircuitError

if TYPE_CHECKING:
    import torch


class Hooks:
    """Hooks for the duration of a `with` block.

    Raises CircuitError on leaving when a hook did not fire.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._waiting: set[str] = set()

    def __enter__(self) -> Hooks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        if kind is None and self._waiting:
            raise CircuitError(
                f"a hook on {', '.join(sorted(self._waiting))} was never called: the model does not compute through it"
            )

    def always(self, undo: Callable[[], None]) -> None:
        """Undo something else at the end."""
        self._undo.append(undo)

    def on_input(self, name: str, module: torch.nn.Module, edit: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
        """See a module's first input before it runs, and change it by returning another tensor."""
        self._waiting.add(name)

        def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            self._waiting.discard(name)
            key = None if args else next(iter(kwargs))
            changed = edit(args[0] if key is None else kwargs[key])
            if changed is None:
                return args, kwargs
            return ((changed, *args[1:]), kwargs) if key is None else (args, {**kwargs, key: changed})

        self._undo.append(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

    def on_call(
        self, name: str, module: torch.nn.Module, see: Callable[[tuple[Any, ...], dict[str, Any]], None]
    ) -> None:
        """See everything that a module is called with."""
        self._waiting.add(name)

        def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._waiting.discard(name)
            see(args, kwargs)

        self._undo.append(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

    def on_output(
        self, name: str, module: torch.nn.Module, edit: Callable[[torch.Tensor], torch.Tensor | None]
    ) -> None:
        """See a module's output, and change it by returning another tensor."""
        self._waiting.add(name)

        def hook(_: Any, args: Any, out: torch.Tensor) -> torch.Tensor | None:
            self._waiting.discard(name)
            return edit(out)

        self._undo.append(module.register_forward_hook(hook).remove)

    def instead(self, name: str, module: torch.nn.Module, compute: Callable[..., Any]) -> None:
        """Let a module compute something else."""
        self._waiting.add(name)
        before = module.__dict__.get("forward")

        def forward(*args: Any, **kwargs: Any) -> Any:
            self._waiting.discard(name)
            return compute(*args, **kwargs)

        def undo() -> None:
            if before is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = before

        module.__dict__["forward"] = forward
        self._undo.append(undo)
