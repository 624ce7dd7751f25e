"""A family file for somebody to fill in: what was given, and every other key as a comment that explains itself."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from resources.atomic import write_text
from resources.families.entries import METHOD_WORDS, Family
from resources.families.file import FamilyFileError
from resources.families.registry import Registry, load_family
from resources.families.schema import SCHEMA_FILE, meaning_of
from resources.families.source import find_source
from resources.settings import PROJECT

_WIDTH = 118


def write_template(file: Path, name: str, base: str, posts: Sequence[str], registry: Registry) -> Family:
    """Write a family file for a base and its descendants, and return what it says.

    Args:
        file: the file, which must not exist; its folder is made if it is not there.
        name: the family's name.
        base: a folder, a registered model id, or a Hub id `org/name` or `org/name@revision`.
        posts: the same, of each descendant.
        registry: what is registered; its ids are not given a second time.

    Raises:
        FamilyFileError: the file exists, the family's name is taken, or the name is none.
        UnknownSource: `base` or a post is no checkpoint that could be found.
    """
    if file.exists():
        raise FamilyFileError(file, None, "exists already; give another name, or edit that file.")
    if name in registry.families:
        raise FamilyFileError(
            file, None, f'"{name}" is the family of {registry.families[name].file}; give another name.'
        )
    taken = set(registry.models)
    models: list[dict[str, str]] = []
    for text in (base, *posts):
        source = find_source(text, registry)
        model_id = source.new_id(taken, models[0]["id"] if models else "")
        taken.add(model_id)
        of = {"base": models[0]["id"]} if models else {"role": "base"}
        method = {"method": "adapter"} if models and source.is_adapter else {}
        models.append({"id": model_id, **of, **method, **source.keys})
    try:
        write_text(file, "\n".join(_lines(file, name, models)) + "\n")
        return load_family(file)
    except FamilyFileError:
        file.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise FamilyFileError(file, None, f"cannot be written ({error.strerror or error}); give another one.") from None


def _lines(file: Path, name: str, models: Sequence[dict[str, str]]) -> Iterator[str]:
    schema = PROJECT / "families" / SCHEMA_FILE
    yield f"# yaml-language-server: $schema={SCHEMA_FILE if file.parent == schema.parent else schema.as_posix()}"
    yield _pair("family", name)
    yield f"# {_pair('title', 'My family')}"
    yield from _comment("", "title")
    yield f"# {_pair('description', 'What it is, and how large.')}"
    yield "automatic: false"
    yield from _comment("", "automatic")
    yield ""
    yield "models:"
    for number, model in enumerate(models):
        for i, (key, value) in enumerate(model.items()):
            yield f"{'  - ' if i == 0 else '    '}{_pair(key, value)}"
        if number:
            if "method" not in model:
                yield "    # method: instruct"
                yield from _comment("models", "method", "    ")
                yield from _wrapped(f"One of {', '.join(METHOD_WORDS)}, or a word of yours.", "    ")
            yield "    # references: []"
            yield from _comment("models", "references", "    ")
    yield "  # An unrelated model of the same shape is a negative control: without one, HC8 cannot be tested."
    yield "  # - id: unrelated-model"
    yield "  #   role: unrelated"
    yield f"  #   {_pair('base', models[0]['id'])}"
    yield "  #   path: path/to/checkpoint"
    yield ""
    yield "# evaluation:"
    yield from _comment("", "evaluation")
    yield "#   tasks: [gsm8k, {name: mmlu, num_fewshot: 5, limit: 20}]"
    yield from _comment("evaluation", "tasks", "#   ")
    yield "#   include_path: path/to/tasks"
    yield from _comment("evaluation", "include_path", "#   ")
    yield "#   prompts: [Once upon a time]"
    yield from _comment("evaluation", "prompts", "#   ")
    yield "# recipes: [replace-scale, disrupt-left, disrupt-right, restore-left, restore-right, formula]"
    yield from _comment("", "recipes")


def _pair(key: str, value: str) -> str:
    """`key: value`, quoted where YAML needs it."""
    return yaml.safe_dump({key: value}, allow_unicode=True, width=10_000).rstrip("\n")


def _comment(mapping: str, key: str, before: str = "") -> Iterator[str]:
    yield from _wrapped(meaning_of(mapping, key), before)


def _wrapped(text: str, before: str) -> Iterator[str]:
    """Comment lines, deeper than a line that is commented out, so that the two are told apart."""
    start = f"{before}{'' if before.startswith('#') else '#'}   # "
    yield from textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=start)
