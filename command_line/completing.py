"""What the shell completes: names of registered models and families. It must be quick, and never fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    import click

    from resources.families import Registry


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Registered models."""
    found = _registry()
    entries = found.models.values() if found else ()
    return [CompletionItem(e.id, help=f"{e.family}: {e.method}") for e in entries if e.id.startswith(incomplete)]


def models_and_families(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Registered models, and families."""
    found = _registry()
    families = found.families.values() if found else ()
    named = [CompletionItem(f.name, help=f.title) for f in families if f.name.startswith(incomplete)]
    return [*named, *models(ctx, param, incomplete)]


def checkpoints(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Registered models, else folders."""
    return models(ctx, param, incomplete) or [CompletionItem(incomplete, type="dir")]


def _registry() -> Registry | None:
    """The registry, or nothing where a family file has a mistake: a completion is no place to say so."""
    from resources.families import load_registry
    from resources.settings import load_settings
    from rotoscale.errors import RotoscaleError

    try:
        settings = load_settings()
        return load_registry(settings.families, settings.local_families)
    except (RotoscaleError, OSError):
        return None
