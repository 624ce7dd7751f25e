"""The model registry: which checkpoints exist, what each descends from, and where it lies.

One YAML file describes one model family. The shipped ones are in `families/`, a user's own in any other folder;
`load_registry(shipped, users)` reads them all and checks them together. What a file may say:

    family: demo                    # required; the family's name
    title: Demo family
    description: What it is and how large.
    automatic: true                 # false: listed, but run only when a model of it is named (default true)
    models:                         # required
      - id: demo-base               # required; the partition key: letters, digits, ".", "_", "-", at most 128
        role: base                  # base, descendant or unrelated; descendant when `base` is given
        path: ../demo/checkpoints/demo-base   # a folder, relative to this file; exactly one of path and hub
      - id: qwen2.5-math-1.5b-instruct
        base: qwen2.5-math-1.5b     # the model it is compared with, of this file or another
        references: [other-id]      # further models it is compared with
        method: instruct            # one word, see METHOD_WORDS for those with a fixed meaning
        hub: Qwen/Qwen2.5-Math-1.5B-Instruct   # a repository on the Hugging Face Hub
        revision: main              # branch, tag or commit on the Hub (default main)
    evaluation:                     # what the models of this family are scored on
      tasks: [gsm8k, {name: mmlu, num_fewshot: 5, limit: 100}]
      include_path: ../demo/tasks   # a folder of task files, relative to this file
      prompts: [Once upon a time]   # fixed prompts to generate from
    recipes: [...]                  # edit recipes, texts or mappings, handed on as they are

A descendant and an unrelated model (a negative control) name a `base`. A base has none and is compared with
itself, which gives the numerical floor. Whether a checkpoint is really there is not asked here but by the asset
that reads it, so that one missing folder does not take the whole registry down.

The rules of a file are one JSON schema (`family_schema`). The reader walks YAML nodes along that schema, not
loaded values, because only nodes know their line: a typo is answered with the file, the line, the key, what was
expected and what was probably meant. `register_local` writes a file for a pair that `rotoscale compare` was given.
"""

from __future__ import annotations

import difflib
import graphlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from resources.hub import REPO_ID_PATTERN, REVISION_PATTERN
from rotoscale.errors import RotoscaleError

# Dots in a row are kept out of ids because Dagster reserves "..." for ranges of partitions.
MODEL_ID_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
ROLES = ("base", "descendant", "unrelated")
METHOD_WORDS: dict[str, str] = {
    "base": "pre-trained, nothing after",
    "instruct": "instruction or chat tuning, all stages together",
    "reasoning": "trained or distilled on written-out reasoning",
    "math": "tuned on mathematics",
    "code": "tuned on code",
    "adapter": "a LoRA adapter, merged into its base when read",
    "sft": "supervised fine-tuning stage alone",
    "dpo": "preference optimization stage",
    "rl": "reinforcement learning stage",
    "continued": "continued pre-training",
    "scratch": "trained from another random start: a control",
    "unspecified": "nothing said",
}
MAX_FILE_BYTES = 1_000_000
_MAX_DEPTH = 40
_WRITTEN_BY_US = "# Written by `rotoscale compare`; entries may be changed by hand, comments are not kept.\n"


class FamilyFileError(RotoscaleError):
    """A family file cannot be read, or contradicts itself or another. Has `file` and, where known, `line`."""

    def __init__(self, file: Path, line: int | None, message: str):
        self.file, self.line = file, line
        super().__init__(f"{file}, line {line}: {message}" if line else f"{file}: {message}")


class UnknownModel(RotoscaleError):  # noqa: N818 (reads as what it says)
    """No model of that id is registered."""


class UnknownSource(RotoscaleError):  # noqa: N818
    """A text given for a checkpoint is no folder with a checkpoint, no registered id and no Hub id."""


@dataclass(frozen=True)
class ModelEntry:
    """One checkpoint of the registry. Exactly one of `path` (absolute) and `hub` (with `revision`) is set."""

    id: str
    family: str
    role: str
    base: str | None
    references: tuple[str, ...]
    method: str
    path: Path | None
    hub: str | None
    revision: str | None
    file: Path

    @property
    def source(self) -> str:
        """Where the checkpoint comes from, as text: the folder, or `org/name@revision`."""
        return str(self.path) if self.path else f"{self.hub}@{self.revision}"

    @property
    def all_references(self) -> tuple[str, ...]:
        """Ids of every model this one is compared with: its base (a base: itself), then the further ones."""
        first = self.id if self.role == "base" else self.base
        return tuple(i for i in (first, *self.references) if i)

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Ids of the other models that have to be there before this one can be compared."""
        return tuple(i for i in self.all_references if i != self.id)


@dataclass(frozen=True)
class Task:
    """One lm-eval task; None leaves the number of shots or of samples to the task."""

    name: str
    num_fewshot: int | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """What the models of a family are scored on. `include_path` is absolute."""

    tasks: tuple[Task, ...] = ()
    include_path: Path | None = None
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """One family file. Recipes are kept as the file has them; who applies them checks them."""

    name: str
    title: str
    description: str
    automatic: bool
    models: tuple[ModelEntry, ...]
    evaluation: Evaluation
    recipes: tuple[str | dict[str, Any], ...]
    file: Path


@dataclass(frozen=True)
class Registry:
    """All families together. `models` is in an order in which every model follows its base and references."""

    families: dict[str, Family] = field(default_factory=dict)
    models: dict[str, ModelEntry] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

    def model(self, model_id: str) -> ModelEntry:
        """Return the entry of that id.

        Raises:
            UnknownModel: with the closest registered ids.
        """
        if model_id in self.models:
            return self.models[model_id]
        close = difflib.get_close_matches(model_id, self.models, n=5, cutoff=0.5)
        if close:
            hint = "Did you mean " + " or ".join(f'"{c}"' for c in close) + "?"
        elif self.models:
            hint = "Registered are: " + _some(self.models) + "."
        else:
            hint = f"No family file was found in {_some(map(str, self.folders))}."
        raise UnknownModel(f'No model "{model_id}" is registered. {hint}')

    def family_of(self, model_id: str) -> Family:
        """Return the family of a model; raises UnknownModel."""
        return self.families[self.model(model_id).family]

    def automatic(self) -> tuple[ModelEntry, ...]:
        """Return the models that run without being named, in order: those of automatic families."""
        return tuple(m for m in self.models.values() if self.families[m.family].automatic)

    def closure(self, model_ids: Iterable[str]) -> tuple[ModelEntry, ...]:
        """Return the named models and all that they are compared with, in order; raises UnknownModel."""
        wanted: set[str] = set()
        waiting = [self.model(i) for i in model_ids]
        while waiting:
            entry = waiting.pop()
            if entry.id not in wanted:
                wanted.add(entry.id)
                waiting += [self.model(i) for i in entry.dependencies]
        return tuple(m for m in self.models.values() if m.id in wanted)


# ------------------------------------------------------------------------------------------- the file's rules


def family_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a family file; descriptions are what error messages quote."""

    def text(description: str, **more: Any) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "description": description, **more}

    def items(description: str, of: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"type": "array", "items": of, "description": description, **more}

    def mapping(description: str, required: list[str], properties: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "description": description,
            "required": required,
            "properties": properties,
            "additionalProperties": False,
            **more,
        }

    model_id = text(
        'a model id: letters, digits, ".", "_" and "-", first a letter or digit, no "..", at most 128',
        pattern=MODEL_ID_PATTERN,
    )
    whole = "a whole number"
    model = mapping(
        "a model: a mapping with an id and a path or hub",
        ["id"],
        {
            "id": model_id,
            "role": text("base, descendant or unrelated", enum=list(ROLES)),
            "base": model_id,
            "references": items("a list of model ids", model_id),
            "method": text(
                "one lower-case word, such as " + ", ".join(list(METHOD_WORDS)[:-1]),
                pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
            ),
            "path": text("a folder, relative to this file"),
            "hub": text("a Hub repository such as Qwen/Qwen2.5-1.5B", pattern=REPO_ID_PATTERN),
            "revision": text("a branch, tag or commit on the Hub", pattern=REVISION_PATTERN),
        },
        oneOf=[{"required": ["path"]}, {"required": ["hub"]}],
        anyOf=[{"required": ["role"]}, {"required": ["base"]}],
        dependentRequired={"revision": ["hub"]},
    )
    task = mapping(
        "the name of an lm-eval task, or a mapping with a name",
        ["name"],
        {
            "name": text("the name of an lm-eval task"),
            "num_fewshot": {"type": "integer", "minimum": 0, "description": f"{whole}, 0 or more"},
            "limit": {"type": "integer", "minimum": 1, "description": f"{whole}, 1 or more"},
        },
    )
    task |= {"type": ["string", "object"], "minLength": 1}
    evaluation = mapping(
        "a mapping with tasks, include_path and prompts",
        [],
        {
            "tasks": items("a list of lm-eval tasks", task),
            "include_path": text("a folder of task files, relative to this file"),
            "prompts": items("a list of texts", text("a text")),
        },
    )
    recipe = {"type": ["string", "object"], "minLength": 1, "description": "an edit recipe: a name or a mapping"}
    schema = mapping(
        "a family: a mapping with family and models",
        ["family", "models"],
        {
            "family": text(
                'a family name: letters, digits, ".", "_" and "-"', pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,159}$"
            ),
            "title": text("a line of text"),
            "description": text("a text"),
            "automatic": {"type": "boolean", "description": "true or false"},
            "models": items("a list of models, at least one", model, minItems=1),
            "evaluation": evaluation,
            "recipes": items("a list of edit recipes", recipe),
        },
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Rotoscale family file", **schema}


# ---------------------------------------------------------------------------------- reading with line numbers

_Where = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Composes nodes only; refuses aliases, a few lines of which can blow up, and nesting that exhausts the stack."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        problem = "lists and mappings are nested too deeply" if self.depth >= _MAX_DEPTH else None
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not allowed here; write the value out"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Reader:
    """Turns the YAML nodes of one file into plain values along the schema; `lines` says where each stood."""

    KINDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "null": "null"}  # noqa: RUF012

    def __init__(self, file: Path):
        self.file = file
        self.lines: dict[_Where, int] = {}

    def read(self) -> dict[str, Any]:
        """Parse and check the whole file; raises FamilyFileError."""
        try:
            with open(self.file, "rb") as stream:
                raw = stream.read(MAX_FILE_BYTES + 1)
            if len(raw) > MAX_FILE_BYTES:
                message = f"larger than {MAX_FILE_BYTES:,} bytes; split the family into several files."
                raise FamilyFileError(self.file, None, message)
            self.loader = _Loader(raw.decode("utf-8-sig"))
            node = self.loader.get_single_node()
        except OSError as error:
            raise FamilyFileError(self.file, None, f"cannot be read ({error.strerror or error}).") from None
        except UnicodeDecodeError as error:
            message = f"byte {error.start} is not UTF-8; save the file as UTF-8 text."
            raise FamilyFileError(self.file, None, message) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = "; ".join(t for t in (error.context, error.problem) if t)
            message = f"not valid YAML here: {what}. Check the indentation, colons and quotes."
            raise FamilyFileError(self.file, mark.line + 1 if mark else None, message) from None
        except yaml.YAMLError as error:
            message = f"not valid YAML: {str(error).splitlines()[0]}; remove that character."
            raise FamilyFileError(self.file, None, message) from None
        if node is None:
            raise FamilyFileError(self.file, None, "empty; expected at least the keys family and models.")
        return self.value(node, family_schema(), ())

    def fail(self, where: _Where, message: str, line: int | None = None) -> FamilyFileError:
        """Return (not raise) the error about the key at `where`."""
        return FamilyFileError(self.file, line or self.lines.get(where), f"{_label(where)} {message}")

    def value(self, node: yaml.Node, schema: Mapping[str, Any], where: _Where) -> Any:
        """Return the value of a node that has to be what the schema says."""
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        wanted = schema.get("type", ["string", "integer", "number", "boolean", "null", "array", "object"])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        expected = schema.get("description", " or ".join(wanted))
        kind = self.kind(node, where)
        if kind != "string" and "string" in wanted and kind in ("integer", "number") and kind not in wanted:
            kind = "string"  # an unquoted 1.5 or 0e12 where a text belongs: a model id, a commit
        if kind not in wanted:
            found = {"object": "a mapping", "array": "a list", "null": "nothing"}.get(kind) or _quoted(node.value)
            hint = " Put it in quotes if it is meant as text." if kind == "boolean" and "string" in wanted else ""
            raise self.fail(where, f"must be {expected}; found {found}.{hint}", line)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, schema, where)
        if isinstance(node, yaml.SequenceNode):
            if len(node.value) < schema.get("minItems", 0):
                raise self.fail(where, f"must be {expected}; found an empty list.", line)
            of = schema.get("items", {})
            return [self.value(child, of, (*where, i)) for i, child in enumerate(node.value)]
        result = self.scalar(node, kind, where)
        bad = (
            ("enum" in schema and result not in schema["enum"])
            or ("pattern" in schema and not re.fullmatch(schema["pattern"], result))
            or (kind == "string" and len(result.strip()) < schema.get("minLength", 0))
            or (kind == "integer" and result < schema.get("minimum", result))
        )
        if bad:
            hint = _meant(result, schema["enum"]) if "enum" in schema else ""
            raise self.fail(where, f"must be {expected}; found {_quoted(result)}.{hint}", line)
        return result

    def mapping(self, node: yaml.MappingNode, schema: Mapping[str, Any], where: _Where) -> dict[str, Any]:
        known: Mapping[str, Any] = schema.get("properties", {})
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if self.kind(key_node, where) in ("array", "object", "null"):
                raise self.fail(where, "has a key that is no word; keys are single words.", line)
            key = str(key_node.value)
            here = (*where, key)
            if key in found:
                raise self.fail(here, f"is given twice, first in line {self.lines[here]}; remove one.", line)
            if key not in known and schema.get("additionalProperties") is False:
                hint = _meant(key, known) or f" Known here: {', '.join(known)}."
                raise self.fail(here, f"is not a known key.{hint}", line)
            self.lines[here] = line
            found[key] = self.value(value_node, known.get(key, {}), here)
        for key in schema.get("required", ()):
            if key not in found:
                what = known[key]["description"]
                raise self.fail(where, f'lacks the key "{key}": {what}.', node.start_mark.line + 1)
        return found

    def kind(self, node: yaml.Node, where: _Where) -> str:
        """Return the JSON type of a node. Dates are texts here."""
        word = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and word == "map":
            return "object"
        if isinstance(node, yaml.SequenceNode) and word == "seq":
            return "array"
        if isinstance(node, yaml.ScalarNode) and word in {*self.KINDS, "timestamp", "merge", "value"}:
            return self.KINDS.get(word, "string")
        message = f"has the tag {node.tag}; remove it, tags are not allowed here."
        raise self.fail(where, message, node.start_mark.line + 1)

    def scalar(self, node: yaml.Node, kind: str, where: _Where) -> Any:
        if kind == "string":
            return str(node.value)
        try:
            return self.loader.construct_object(node)
        except (ValueError, OverflowError, KeyError):
            message = f"cannot be read as {kind}: {_quoted(node.value)}; write it out, or quote it."
            raise self.fail(where, message, node.start_mark.line + 1) from None


def _label(where: _Where) -> str:
    """Name a place in the file, as in `models[2].base`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.removeprefix(".") or "the file"


def _quoted(value: object) -> str:
    """Quote a value of the file, cut short: it may be anything."""
    text = str(value)
    return f'"{text[:80]}..."' if len(text) > 80 else f'"{text}"'


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


def _some(words: Iterable[str], most: int = 12) -> str:
    """Join words with commas, cut short."""
    listed = list(words)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


# -------------------------------------------------------------------------------------- families and registry


def load_family(file: Path) -> Family:
    """Read one family file.

    Raises:
        FamilyFileError: naming the file, line and key of a typo. Ids of other models are not looked up.
    """
    return _load(Path(file))[0]


def _load(file: Path) -> tuple[Family, _Reader]:
    reader = _Reader(file)
    data = reader.read()
    where = Path(os.path.abspath(file))

    def beside(folder: str, *key: str | int) -> Path:
        """Return the absolute, link-free form of a folder given relative to the file."""
        try:
            return (where.parent / os.path.expanduser(folder)).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise reader.fail(key, f"is no folder name ({error}); correct it.") from None

    models: list[ModelEntry] = []
    for i, raw in enumerate(data["models"]):
        _check_model(reader, raw, i)
        role = raw.get("role", "descendant")
        default_method = "base" if role == "base" else "unspecified"
        hub = raw.get("hub")
        models.append(
            ModelEntry(
                id=raw["id"],
                family=data["family"],
                role=role,
                base=raw.get("base"),
                references=tuple(raw.get("references", ())),
                method=raw.get("method", default_method),
                path=beside(raw["path"], "models", i, "path") if "path" in raw else None,
                hub=hub,
                revision=raw.get("revision", "main") if hub else None,
                file=where,
            )
        )
    scored = data.get("evaluation", {})
    tasks = scored.get("include_path")
    evaluation = Evaluation(
        tasks=tuple(Task(t) if isinstance(t, str) else Task(**t) for t in scored.get("tasks", ())),
        include_path=beside(tasks, "evaluation", "include_path") if tasks else None,
        prompts=tuple(scored.get("prompts", ())),
    )
    family = Family(
        name=data["family"],
        title=data.get("title", data["family"]),
        description=data.get("description", ""),
        automatic=data.get("automatic", True),
        models=tuple(models),
        evaluation=evaluation,
        recipes=tuple(data.get("recipes", ())),
        file=where,
    )
    return family, reader


def _check_model(reader: _Reader, raw: Mapping[str, Any], index: int) -> None:
    """Check what keys of one model say about each other."""
    at: _Where = ("models", index)
    name = f'(model "{raw["id"]}")'
    if ("path" in raw) == ("hub" in raw):
        both = "both; keep one of them" if "path" in raw else "neither; add one of them"
        raise reader.fail(at, f"{name} must have exactly one of path and hub, and has {both}.")
    if "revision" in raw and "path" in raw:
        raise reader.fail((*at, "revision"), f"{name} belongs to hub; remove it, a folder has no revision.")
    if "role" not in raw and "base" not in raw:
        message = f"{name} has neither role nor base; write `role: base`, or the id it descends from as `base`."
        raise reader.fail(at, message)
    role = raw.get("role", "descendant")
    if role == "base" and "base" in raw:
        message = f"{name} cannot stand beside role: base; remove one of them, or list it under references."
        raise reader.fail((*at, "base"), message)
    if role != "base" and "base" not in raw:
        message = f'{name} has the role {role} and lacks the key "base": the id of the model to compare with.'
        raise reader.fail(at, message)
    named = [(raw.get("base"), (*at, "base"))]
    for i, reference in enumerate(raw.get("references", ())):
        named.append((reference, (*at, "references", i)))
    seen = {raw["id"]: "the model itself"}
    for other, where in named:
        if other in seen:
            raise reader.fail(where, f'{name} names "{other}", which is {seen[other]}; remove it.')
        if other:
            seen[other] = "named already"


def load_registry(*folders: Path) -> Registry:
    """Read every family file (`*.yaml`, `*.yml`) of the folders and check them together.

    A folder that does not exist has no families: a user's own is there only once something was registered.

    Raises:
        FamilyFileError: a typo in a file; a model id or family name registered twice (ids that differ only in
            case count as the same, because they become file names); a base or reference that no file registers;
            a cycle.
    """
    loaded: list[tuple[Family, _Reader]] = []
    unique = tuple(dict.fromkeys(Path(os.path.abspath(f)) for f in folders))
    for folder in unique:
        files = [f for f in folder.glob("*") if f.suffix in (".yaml", ".yml") and not f.name.startswith(".")]
        loaded += [_load(file) for file in sorted(files)]

    families: dict[str, Family] = {}
    placed: dict[str, tuple[ModelEntry, _Reader, int]] = {}
    for family, reader in loaded:
        if family.name in families:
            message = f'"{family.name}" is also the family of {families[family.name].file}; rename one.'
            raise reader.fail(("family",), message)
        families[family.name] = family
        for i, entry in enumerate(family.models):
            if other := placed.get(entry.id.casefold()):
                line = other[1].lines["models", other[2], "id"]
                message = f'"{entry.id}" is registered already in {other[0].file}, line {line}; rename one.'
                raise reader.fail(("models", i, "id"), message)
            placed[entry.id.casefold()] = (entry, reader, i)

    entries = {entry.id: entry for entry, _, _ in placed.values()}
    for entry, reader, i in placed.values():
        named: list[tuple[str | None, _Where]] = [(entry.base, ("base",))]
        named += [(reference, ("references", n)) for n, reference in enumerate(entry.references)]
        for other_id, key in named:
            if other_id and other_id not in entries:
                hint = _meant(other_id, entries) or f" Registered are: {_some(entries)}."
                message = f'names "{other_id}", which no family file registers.{hint}'
                raise reader.fail(("models", i, *key), message)
    graph = {m.id: m.dependencies for m in entries.values()}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        ring = error.args[1]
        entry, reader, i = placed[ring[0].casefold()]
        circle = " -> ".join(reversed(ring))
        message = f"closes a circle of bases and references ({circle}); remove one of them."
        raise reader.fail(("models", i), message) from None
    return Registry(families, {model_id: entries[model_id] for model_id in order}, unique)


# ----------------------------------------------------------------------------------------- registering a pair


@dataclass(frozen=True)
class _Source:
    """A checkpoint that somebody pointed at: a folder, or a Hub repository at a revision."""

    path: Path | None = None
    hub: str | None = None
    revision: str | None = None

    def is_of(self, entry: ModelEntry) -> bool:
        return (self.path, self.hub, self.revision) == (entry.path, entry.hub, entry.revision)

    def as_keys(self) -> dict[str, str]:
        """Return the keys of the family file that say this."""
        if self.path:
            return {"path": self.path.as_posix()}
        return {"hub": self.hub or "", "revision": self.revision or ""}

    def new_id(self, taken: Iterable[str]) -> str:
        """Return a readable id: the folder's or repository's name, and a hash of the source if that is taken."""
        used = {t.casefold() for t in taken}
        name = self.path.name if self.path else (self.hub or "").rpartition("/")[2]
        slug = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", name)).strip("._-")[:80] or "model"
        digest = hashlib.sha256("\n".join(self.as_keys().values()).encode()).hexdigest()
        names = (slug if n == 0 else f"{slug}-{digest[:n]}" for n in (0, 8, 12, 16, 32))
        return next(n for n in names if n.casefold() not in used)


def _source(text: str, registry: Registry) -> _Source:
    """Tell what BASE or POST on a command line means: a folder first, then a registered id, then a Hub id."""
    folder = os.path.expanduser(text)
    if os.path.isdir(folder):
        path = Path(folder).resolve()
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UnknownSource(f"The name of the folder {str(path)!r} is not UTF-8; rename it.") from None
        return _Source(path=path)
    if text in registry.models:
        entry = registry.models[text]
        return _Source(entry.path, entry.hub, entry.revision)
    if os.path.exists(folder):
        raise UnknownSource(f'"{text}" is a file; give the folder that holds the checkpoint.')
    hub, at, revision = text.partition("@")
    revision = revision if at else "main"
    if "/" in hub and re.fullmatch(REPO_ID_PATTERN, hub) and re.fullmatch(REVISION_PATTERN, revision):
        return _Source(hub=hub, revision=revision)
    raise UnknownSource(
        f"{_quoted(text)} is no folder here, no registered model and no Hub id.{_meant(text, registry.models)} "
        "Give a folder that holds a checkpoint, an id that `rotoscale families` lists, or a Hub id like "
        "org/name or org/name@revision."
    )


def unregistered(text: str, registry: Registry) -> ModelEntry:
    """Return an entry for a checkpoint that somebody points at, a registered one's own, without registering it.

    Args:
        text: a folder, a registered model id, or a Hub id `org/name` or `org/name@revision`.
        registry: what is registered.

    Raises:
        UnknownSource: it is none of those.
    """
    if text in registry.models and not os.path.isdir(os.path.expanduser(text)):
        return registry.models[text]
    source = _source(text, registry)
    name = source.new_id(())
    return ModelEntry(name, "", "base", None, (), "", source.path, source.hub, source.revision, Path())


def register_local(
    folder: Path, base: str | Path, post: str | Path, *, shipped: Sequence[Path] = ()
) -> tuple[ModelEntry, ModelEntry]:
    """Make sure that a pair is registered and return its entries.

    What is registered already is used: any entry of the same folder, or of the same Hub repository and revision.
    The rest goes to `<folder>/local-<base id>.yaml`, one file per base. A post that this function registered
    earlier with another base gets `base` as a further reference; one of a shipped or hand-written file, which
    stays as it is, gets a second id. The pair of a model with itself is one entry with the role base. Same
    arguments, same result; several processes may do it at once.

    Args:
        folder: the user's folder of family files; made if it is not there.
        base: a folder, a registered model id, or a Hub id `org/name` or `org/name@revision`.
        post: the same; a folder may hold an adapter.
        shipped: further folders of family files, read but never written.

    Raises:
        UnknownSource: `base` or `post` is none of those.
        FamilyFileError: a family file in the folders is broken, or cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = Path(os.path.abspath(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".registry.lock", timeout=60):
            return _register(folder, str(base), str(post), shipped)
    except Timeout:
        message = "another process has held its lock for a minute; end that process, then try again."
        raise FamilyFileError(folder, None, message) from None
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); give a folder that can."
        raise FamilyFileError(folder, None, message) from None


def _register(folder: Path, base: str, post: str, shipped: Sequence[Path]) -> tuple[ModelEntry, ModelEntry]:
    registry = load_registry(*shipped, folder)
    base_source, post_source = _source(base, registry), _source(post, registry)
    bases = [m for m in registry.models.values() if base_source.is_of(m)]
    posts = [m for m in registry.models.values() if post_source.is_of(m)]
    # An id typed by hand means that very entry; otherwise any entry of the same source will do, bases first.
    bases.sort(key=lambda m: (m.id != base, m.role != "base"))
    posts.sort(key=lambda m: m.id != post)
    for b in bases:
        for p in posts:
            if b.id in p.all_references:
                return b, p

    taken = set(registry.models)
    new: list[dict[str, Any]] = []
    if base_source == post_source or not bases:
        base_id = base_source.new_id(taken)
        taken.add(base_id)
        new.append({"id": base_id, "role": "base", **base_source.as_keys()})
    else:
        base_id = bases[0].id
    post_id = base_id
    if base_source != post_source:
        ours = [p for p in posts if _is_ours(p.file, folder) and not _reaches(registry, base_id, p.id)]
        if ours:
            post_id = ours[0].id
            if new:
                _add_models(folder, base_id, new)
            _add_reference(ours[0], base_id)
            new = []
        else:
            post_id = post_source.new_id(taken)
            is_adapter = post_source.path is not None and (post_source.path / "adapter_config.json").is_file()
            method = {"method": "adapter"} if is_adapter else {}
            new.append({"id": post_id, "base": base_id, **method, **post_source.as_keys()})
    if new:
        _add_models(folder, base_id, new)
    registry = load_registry(*shipped, folder)
    return registry.model(base_id), registry.model(post_id)


def _is_ours(file: Path, folder: Path) -> bool:
    """Tell whether `register_local` wrote the file: only then may it be rewritten, which loses comments."""
    return file.parent == folder and file.read_bytes().startswith(_WRITTEN_BY_US.encode())


def _reaches(registry: Registry, start: str, goal: str) -> bool:
    """Tell whether `start` is compared, directly or through others, with `goal`: the reverse would be a cycle."""
    return start in registry.models and any(m.id == goal for m in registry.closure([start]))


def _add_models(folder: Path, base_id: str, new: list[dict[str, Any]]) -> None:
    """Append models to the base's family file, which is made if it is not there or not ours to rewrite."""
    file = folder / f"local-{base_id}.yaml"
    number = 1
    while file.exists() and not _is_ours(file, folder):
        number += 1
        file = folder / f"local-{base_id}-{number}.yaml"
    if file.exists():
        data = _Reader(file).read()
        data["models"] += new
    else:
        data = {
            "family": file.stem,
            "title": f"Compared with {base_id}",
            "description": "Registered by `rotoscale compare`.",
            "models": new,
        }
    # Nothing is downloaded unasked: a family with a Hub model in it runs only when named.
    data["automatic"] = data.get("automatic", True) and not any("hub" in m for m in data["models"])
    _write(file, data)


def _add_reference(entry: ModelEntry, base_id: str) -> None:
    data = _Reader(entry.file).read()
    for model in data["models"]:
        if model["id"] == entry.id:
            model["references"] = [*model.get("references", ()), base_id]
    _write(entry.file, data)


def _write(file: Path, data: dict[str, Any]) -> None:
    """Write a family file under a temporary name and put it in place in one step."""
    ordered = {key: data[key] for key in family_schema()["properties"] if key in data}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=110)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem[:80]}-", suffix=".tmp")
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(_WRITTEN_BY_US + text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
