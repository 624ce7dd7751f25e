"""One family file: the schema, the shipped files, and how every typo is answered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from resources import families
from resources.families import FamilyFileError, load_family, load_registry
from tests.resources.family_files import GOOD, SHIPPED, write

SHIPPED_FILES = sorted(SHIPPED.glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED_FILES, ids=lambda f: f.stem)
def test_shipped_file_obeys_the_schema(file: Path) -> None:
    """Checked by an independent validator over plain loaded YAML, and by the reader."""
    validator = jsonschema.Draft202012Validator(families.family_schema())
    data = yaml.safe_load(file.read_text())
    assert [e.message for e in validator.iter_errors(data)] == []
    family = load_family(file)
    assert family.name == file.stem
    assert family.title
    assert family.description
    assert all(m.method in families.METHOD_WORDS for m in family.models)
    if not family.automatic:
        assert "Size:" in family.description
        assert all(m.hub and m.revision for m in family.models)
        assert {t.name for t in family.evaluation.tasks} >= {"gsm8k", "mmlu"}


def test_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(families.family_schema())


def test_a_family_file(tmp_path: Path) -> None:
    family = load_family(write(tmp_path, GOOD))
    base, chat, other = family.models
    assert (base.role, base.base, base.method, base.revision) == ("base", None, "base", None)
    assert base.path == tmp_path / "checkpoints" / "base"
    assert base.source == str(base.path)
    assert base.all_references == ("small-base",)
    assert base.dependencies == ()
    assert (chat.role, chat.path, chat.source) == ("descendant", None, "org/small-chat@v1.0")
    assert (other.role, other.method, other.all_references) == ("unrelated", "unspecified", ("small-base",))
    assert family.automatic
    assert family.evaluation.tasks == (families.Task("gsm8k"), families.Task("mmlu", 5, 100))
    assert family.evaluation.include_path == tmp_path / "tasks"
    assert family.evaluation.prompts == ("Once upon a time",)
    assert family.recipes == ("restore", {"name": "shuffle", "strength": 0.5})
    assert family.file == tmp_path / "small.yaml"


def test_unquoted_numbers_stay_as_they_were_written(tmp_path: Path) -> None:
    """A commit such as 0123456 is an octal number to YAML, and 1e10 a float."""
    text = (
        "family: 3\nmodels:\n"
        "- {id: 1.50, role: base, hub: org/x, revision: 0123456}\n"
        "- {id: 1e10, base: 1.50, path: 007}"
    )
    family = load_family(write(tmp_path, text))
    assert family.name == "3"
    assert [(m.id, m.base, m.revision) for m in family.models] == [("1.50", None, "0123456"), ("1e10", "1.50", None)]
    assert family.models[1].path == tmp_path / "007"


TYPOS = {
    # name: (text in GOOD, what replaces it, line of the error, what the message must say)
    "unknown key": ("    role: base", "    roel: base", 5, ["models[0].roel", 'mean "role"']),
    "unknown key at the top": ("recipes:", "recipies:", 24, ["recipies", 'mean "recipes"']),
    "unknown key in evaluation": ("  prompts:", "  promts:", 23, ["evaluation.promts", 'mean "prompts"']),
    "unknown key in a task": ("      limit:", "      limits:", 21, ["evaluation.tasks[1].limits", 'mean "limit"']),
    "unlike any key": ("title:", "zzz:", 2, ["zzz", "Known here: family, title"]),
    "unknown role": ("role: unrelated", "role: unrelatd", 13, ["base, descendant or unrelated", 'mean "unrelated"']),
    "missing id": ("  - id: small-chat\n", "  - title: x\n", 7, ["models[1].title", "not a known key"]),
    "no id": ("  - id: small-other\n    role", "  - role", 12, ['models[2] lacks the key "id"', "a model id"]),
    "no family": ("family: small\n", "", 1, ['lacks the key "family"']),
    "bad id": ("id: small-base", "id: small base", 4, ["models[0].id", "letters, digits", '"small base"']),
    "id with a path": ("id: small-base", "id: ../base", 4, ["models[0].id"]),
    "id of dots": ("id: small-base", "id: a...b", 4, ["models[0].id"]),
    "id that is a list": ("id: small-base", "id: [a]", 4, ["a model id", "found a list"]),
    "empty id": ("id: small-base", "id:", 4, ["a model id", "found nothing"]),
    "boolean for a text": ("title: Small family", "title: yes", 2, ["title", '"yes"', "quotes"]),
    "text for a boolean": ("title: Small family", "automatic: maybe", 2, ["automatic", "true or false", '"maybe"']),
    "text for a number": ("num_fewshot: 5", "num_fewshot: five", 20, ["num_fewshot", "a whole number", '"five"']),
    "negative number": ("num_fewshot: 5", "num_fewshot: -1", 20, ["num_fewshot", "0 or more"]),
    "fraction": ("limit: 100", "limit: 0.1", 21, ["limit", "1 or more"]),
    "boolean for a number": ("limit: 100", "limit: true", 21, ["limit", "1 or more"]),
    "text for a list": ("prompts: [Once upon a time]", "prompts: Once", 23, ["prompts", "a list of texts"]),
    "path and hub": ("    path: checkpoints/base", "    path: x\n    hub: org/x", 4, ["exactly one", "both"]),
    "neither path nor hub": ("    path: checkpoints/base\n", "", 4, ["small-base", "neither"]),
    "revision of a path": ("    path: checkpoints/base", "    path: x\n    revision: v1", 7, ["revision", "remove"]),
    "hub without organisation slash": ("hub: org/small-chat", "hub: org//small", 10, ["models[1].hub", "Qwen/Qwen2.5"]),
    "hub that climbs": ("hub: org/small-chat", "hub: ../../etc", 10, ["models[1].hub"]),
    "bad revision": ("revision: v1.0", "revision: a b", 11, ["models[1].revision", "branch, tag or commit"]),
    "method of two words": ("method: instruct", "method: Chat tuning", 9, ["method", "one lower-case word"]),
    "base of a base": ("    role: base", "    role: base\n    base: small-chat", 6, ["models[0].base", "role: base"]),
    "no role and no base": ("    role: base\n", "", 4, ["small-base", "role: base"]),
    "control without base": ("    base: small-base\n    path", "    path", 12, ["small-other", 'lacks the key "base"']),
    "itself as reference": ("    method: instruct", "    references: [small-chat]", 9, ["references[0]", "itself"]),
    "base as reference": ("    method: instruct", "    references:\n    - small-base", 10, ["references", "already"]),
    "same key twice": ("    method: instruct", "    base: small-base", 9, ["models[1].base", "twice", "line 8"]),
    "unknown folder sign": ("path: checkpoints/base", 'path: "a\\0b"', 6, ["models[0].path", "folder"]),
    "alias": ("    method: instruct", "    references: &a [x]\n    method: *a", 10, ["aliases"]),
    "tag": ("title: Small family", "title: !!python/name:os.system", 2, ["tag", "remove"]),
    "binary tag": ("title: Small family", "title: !!binary aGk=", 2, ["tag"]),
    "tab": ("    role: base", "\trole: base", 5, ["not valid YAML"]),
    "unclosed bracket": ("prompts: [Once upon a time]", "prompts: [Once", 24, ["not valid YAML"]),
    "two documents": ("evaluation:", "---\nevaluation:", 16, ["not valid YAML", "document"]),
    "misspelt models": ("models:\n", "modls:\n", 3, ["modls", 'mean "models"']),
    "mapping for a list": ("prompts: [Once upon a time]", "prompts: {a: b}", 23, ["a list of texts", "a mapping"]),
    "key of nothing": ("include_path: tasks", "include_path:", 22, ["include_path", "a folder", "found nothing"]),
    "blank text": ("title: Small family", "title: ' '", 2, ["title", "a line of text"]),
    "blank task": ("    - gsm8k", "    - ' '", 18, ["evaluation.tasks[0]", "the name of an lm-eval task"]),
    "boolean for a task": ("    - gsm8k", "    - yes", 18, ["evaluation.tasks[0]", '"yes"', "quotes"]),
    "line end in an id": ("id: small-base", 'id: "small-base\\n"', 4, ["models[0].id"]),
    "quoted number": ("num_fewshot: 5", "num_fewshot: '5'", 20, ["num_fewshot", "a whole number"]),
    "recipe of nothing": ("  - restore", "  -", 25, ["recipes[0]", "an edit recipe", "found nothing"]),
    "same task twice": ("    - gsm8k", "    - {name: mmlu, limit: 3}", 19, ["tasks[1]", '"mmlu"', "first in line 18"]),
    "number too long": ("strength: 0.5", "strength: " + "9" * 5000, 27, ["recipes[1].strength", "integer"]),
    "list as a key": ("strength: 0.5", "[1, 2]: 0.5", 27, ["recipes[1]", "key"]),
    "merge key": ("title: Small family", "<<: {title: x}", 2, ["<<", "not a known key"]),
    "unregistered base": ("base: small-base\n    m", "base: smal-base\n    m", 8, ["[1].base", 'mean "small-base"']),
    "unregistered reference": ("    method: instruct", "    references: [nobody]", 9, ["references[0]", '"nobody"']),
    "same id twice": ("id: small-other", "id: Small-Base", 12, ["Small-Base", "registered already", "line 4"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPOS)
def test_a_typo_is_answered_with_file_line_key_and_expectation(tmp_path: Path, name: str) -> None:
    old, new, line, said = TYPOS[name]
    assert GOOD.count(old) == 1
    file = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(FamilyFileError) as caught:
        load_registry(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{file}, line {line}: ")
    assert (caught.value.file, caught.value.line) == (file, line)
    assert all(word in message for word in said), message
    assert len(message) < len(str(file)) + 500


def test_of_two_mistakes_the_first_is_told(tmp_path: Path) -> None:
    text = GOOD.replace("role: unrelated", "role: unrelatd").replace("limit: 100", "limit: no")
    with pytest.raises(FamilyFileError, match=r"line 13: .*unrelated"):
        load_family(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", False),
        ("evaluation: {prompts: [x]}", False),
        ("evaluation: {tasks: [gsm8k]}", True),
        ("recipes: [restore]", True),
        ("recipes: []\nevaluation: {tasks: [gsm8k]}", False),
    ],
)
def test_edits_are_wanted_where_something_would_score_them(tmp_path: Path, text: str, wanted: bool) -> None:
    family = load_family(write(tmp_path, f"family: f\nmodels:\n- {{id: a, role: base, path: x}}\n{text}\n"))
    assert family.edits_wanted == wanted


def test_what_is_read_does_not_change(tmp_path: Path) -> None:
    family = load_family(write(tmp_path, GOOD))
    for thing, name in ((family, "name"), (family.models[0], "id"), (family.evaluation, "tasks")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(thing, name, "other")
    with pytest.raises(dataclasses.FrozenInstanceError):
        family.evaluation.tasks[0].limit = 3  # type: ignore[misc]
    assert len({*family.models, *family.evaluation.tasks}) == 5  # hashable


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"- a\n- b\n", "a family"),
        (b"family: f\nmodels: []\n", "line 2: models must be .* at least one; found an empty list"),
        (b"family: \xff\n", "UTF-8"),
        (b"family: \x07\n", "not valid YAML"),
        (b"[" * 5000, "nested too deeply"),
        (b"a: " + b"{a: " * 5000, "nested too deeply"),
        (b"#" * (families.MAX_FILE_BYTES + 1), "larger than"),
    ],
    ids=["empty", "comment", "list", "no models", "encoding", "control", "deep list", "deep mapping", "large"],
)
def test_files_that_are_no_family_file(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(FamilyFileError, match=said) as caught:
        load_family(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FamilyFileError, match="cannot be read"):
        load_family(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "name", [n for n in TYPOS if n not in ("unregistered base", "unregistered reference", "same id twice")]
)
def test_reader_and_schema_agree_on_what_is_wrong(tmp_path: Path, name: str) -> None:
    """What the JSON schema refuses, the reader refuses too: one set of rules."""
    old, new, _, _ = TYPOS[name]
    try:
        data = yaml.safe_load(GOOD.replace(old, new))
    except (yaml.YAMLError, ValueError, TypeError):
        return
    valid = jsonschema.Draft202012Validator(families.family_schema()).is_valid(
        json.loads(json.dumps(data, default=str))
    )
    beyond = {  # what a schema cannot say, or what loading already lost
        "base of a base", "control without base", "itself as reference", "base as reference", "same key twice",
        "unknown folder sign", "alias", "binary tag", "merge key", "revision of a path", "number too long",
        "same task twice",
    }  # fmt: skip
    assert not valid or name in beyond
