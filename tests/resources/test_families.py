"""Family files, the registry made of them, and pairs registered from the command line."""

from __future__ import annotations

import concurrent.futures
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from resources import families
from resources.families import FamilyFileError, UnknownModel, UnknownSource, load_family, load_registry, register_local

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = PROJECT / "families"
SHIPPED_FILES = sorted(SHIPPED.glob("*.yaml"))

GOOD = """\
family: small
title: Small family
models:
  - id: small-base
    role: base
    path: checkpoints/base
  - id: small-chat
    base: small-base
    method: instruct
    hub: org/small-chat
    revision: v1.0
  - id: small-other
    role: unrelated
    base: small-base
    path: checkpoints/other
evaluation:
  tasks:
    - gsm8k
    - name: mmlu
      num_fewshot: 5
      limit: 100
  include_path: tasks
  prompts: [Once upon a time]
recipes:
  - restore
  - name: shuffle
    strength: 0.5
"""


def write(folder: Path, text: str, name: str = "small.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


# --------------------------------------------------------------------------------------------------- what is shipped


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


def test_shipped_registry() -> None:
    registry = load_registry(SHIPPED)
    assert list(registry.families["demo"].models) == [m for m in registry.models.values() if m.family == "demo"]
    demo = {m.id: (m.role, m.base, m.method) for m in registry.families["demo"].models}
    assert demo == {
        "demo-base": ("base", None, "base"),
        "demo-instruct": ("descendant", "demo-base", "instruct"),
        "demo-reasoning": ("descendant", "demo-base", "reasoning"),
        "demo-math": ("descendant", "demo-base", "math"),
        "demo-math-lora": ("descendant", "demo-base", "adapter"),
        "demo-scratch": ("unrelated", "demo-base", "scratch"),
    }
    assert registry.model("demo-math").path == PROJECT / "demo" / "checkpoints" / "demo-math"
    assert {m.id for m in registry.automatic()} == set(demo)  # nothing is downloaded unasked
    assert registry.model("olmo-2-7b-instruct").all_references == ("olmo-2-7b", "olmo-2-7b-dpo")
    assert registry.model("olmo-2-7b").all_references == ("olmo-2-7b",)
    assert [m.id for m in registry.closure(["olmo-2-7b-instruct"])] == [
        "olmo-2-7b", "olmo-2-7b-sft", "olmo-2-7b-dpo", "olmo-2-7b-instruct",
    ]  # fmt: skip
    hubs = {m.hub for m in registry.models.values() if m.hub}
    assert len(hubs) == 18
    assert "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B" in hubs


# --------------------------------------------------------------------------------------------------------- one file


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"- a\n- b\n", "a family"),
        (b"family: \xff\n", "UTF-8"),
        (b"family: \x07\n", "not valid YAML"),
        (b"[" * 5000, "nested too deeply"),
        (b"a: " + b"{a: " * 5000, "nested too deeply"),
        (b"#" * (families.MAX_FILE_BYTES + 1), "larger than"),
    ],
    ids=["empty", "comment", "list", "encoding", "control", "deep list", "deep mapping", "large"],
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
    }  # fmt: skip
    assert not valid or name in beyond


# --------------------------------------------------------------------------------------------------- several files


def test_families_of_several_folders_in_an_order_that_can_be_run(tmp_path: Path) -> None:
    """Files are read by name; a base of a later file still comes before its descendants."""
    write(
        tmp_path / "a",
        "family: a\nmodels:\n- {id: a2, base: b1, references: [a1], path: x}\n- {id: a1, base: b1, path: y}",
    )
    write(tmp_path / "b", "family: b\nautomatic: false\nmodels:\n- {id: b1, role: base, path: z}", "b.yml")
    write(tmp_path / "b", "not: [read", ".hidden.yaml")
    registry = load_registry(tmp_path / "a", tmp_path / "b", tmp_path / "none", tmp_path / "a")
    assert list(registry.models) == ["b1", "a1", "a2"]
    assert list(registry.families) == ["a", "b"]
    assert [m.id for m in registry.automatic()] == ["a1", "a2"]
    assert [m.id for m in registry.closure(["a1"])] == ["b1", "a1"]
    assert registry.family_of("b1").name == "b"


def test_contradictions_between_files_name_both(tmp_path: Path) -> None:
    one = write(tmp_path, "family: one\nmodels:\n- {id: same, role: base, path: x}", "one.yaml")
    two = write(
        tmp_path,
        "family: two\nmodels:\n- {id: other, role: base, path: x}\n- {id: same, role: base, path: x}",
        "two.yaml",
    )
    with pytest.raises(FamilyFileError, match=re.escape(f"{two}, line 4: ") + ".*" + re.escape(f"{one}, line 3")):
        load_registry(tmp_path)
    write(tmp_path, "title: x\nfamily: one\nmodels:\n- {id: other, role: base, path: x}", "two.yaml")
    with pytest.raises(FamilyFileError, match=re.escape(f"{two}, line 2: ") + ".*" + re.escape(str(one))):
        load_registry(tmp_path)


def test_a_circle_is_refused(tmp_path: Path) -> None:
    text = (
        "family: f\nmodels:\n- {id: r, role: base, path: x}\n"
        "- {id: a, base: b, path: x}\n- {id: b, base: r, references: [a], path: x}"
    )
    file = write(tmp_path, text)
    with pytest.raises(FamilyFileError, match=r"line [45]: .*circle .*(a -> b -> a|b -> a -> b)") as caught:
        load_registry(tmp_path)
    assert str(file) in str(caught.value)


def test_unknown_model(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    registry = load_registry(tmp_path)
    with pytest.raises(UnknownModel, match=r'"small-bsae".*Did you mean "small-base"'):
        registry.model("small-bsae")
    with pytest.raises(UnknownModel, match="Registered are: small-base, "):
        registry.model("qqq")
    with pytest.raises(UnknownModel, match=re.escape(f"was found in {tmp_path}/none.")):
        load_registry(tmp_path / "none").model("x")
    with pytest.raises(UnknownModel):
        registry.closure(["small-base", "nobody"])


# ----------------------------------------------------------------------------------------------- registering a pair


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return folders of checkpoints, and a shipped family over two of them."""
    made = {name: tmp_path / "models" / name for name in ("base", "chat", "math", "rl")}
    for folder in made.values():
        folder.mkdir(parents=True)
    shipped = tmp_path / "shipped"
    text = (
        "family: s\nmodels:\n- {id: s-base, role: base, path: ../models/base}\n"
        "- {id: s-chat, base: s-base, path: ../models/chat}"
    )
    write(shipped, text)
    return {**made, "shipped": shipped, "mine": tmp_path / "mine"}


def contents(folder: Path) -> dict[str, str]:
    return {f.name: f.read_text() for f in folder.iterdir() if not f.name.startswith(".")}


def test_a_new_pair_of_folders(folders: dict[str, Path]) -> None:
    mine = folders["mine"]
    base, post = register_local(mine, folders["base"], folders["math"])
    assert (base.id, base.role, base.path, base.family) == ("base", "base", folders["base"], "local-base")
    assert (post.id, post.role, post.base, post.path) == ("math", "descendant", "base", folders["math"])
    assert list(contents(mine)) == ["local-base.yaml"]
    before = contents(mine)
    assert register_local(mine, str(folders["base"]) + "/.", folders["math"]) == (base, post)
    assert register_local(mine, "base", "math") == (base, post)
    assert contents(mine) == before
    jsonschema.validate(yaml.safe_load(before["local-base.yaml"]), families.family_schema())
    again, third = register_local(mine, folders["base"], folders["rl"])
    assert again == base
    assert [m.id for m in load_registry(mine).families["local-base"].models] == ["base", "math", "rl"]
    assert third.base == "base"
    assert {m.id for m in load_registry(mine).automatic()} == {"base", "math", "rl"}


def test_hub_ids_and_revisions(folders: dict[str, Path]) -> None:
    mine = folders["mine"]
    base, post = register_local(mine, "org/Base-1B", "other/Chat-1B@refs/pr/3")
    assert (base.id, base.hub, base.revision, base.source) == ("Base-1B", "org/Base-1B", "main", "org/Base-1B@main")
    assert (post.id, post.hub, post.revision) == ("Chat-1B", "other/Chat-1B", "refs/pr/3")
    assert register_local(mine, "org/Base-1B@main", "other/Chat-1B@refs/pr/3") == (base, post)
    _, newer = register_local(mine, "org/Base-1B", "other/Chat-1B")
    assert newer.id != post.id
    assert re.fullmatch(r"Chat-1B-[0-9a-f]{8}", newer.id)
    assert load_registry(mine).automatic() == ()  # downloads happen only where they are asked for


def test_what_is_shipped_is_used_and_left_alone(folders: dict[str, Path]) -> None:
    mine, shipped = folders["mine"], folders["shipped"]
    before = contents(shipped)
    base, post = register_local(mine, folders["base"], folders["chat"], shipped=[shipped])
    assert (base.id, post.id) == ("s-base", "s-chat")
    assert contents(mine) == {}
    base, post = register_local(mine, folders["base"], folders["math"], shipped=[shipped])
    assert (base.id, post.id, post.base) == ("s-base", "math", "s-base")
    # A shipped model against another base: its file stays, so the pair gets an id of its own.
    base, post = register_local(mine, folders["math"], folders["chat"], shipped=[shipped])
    assert (base.id, post.id, post.base) == ("math", "chat", "math")
    # The next base goes to that id as a reference.
    base, post = register_local(mine, folders["rl"], folders["chat"], shipped=[shipped])
    assert (base.id, post.id, post.all_references) == ("rl", "chat", ("math", "rl"))
    assert register_local(mine, folders["base"], folders["chat"], shipped=[shipped])[1].id == "s-chat"
    assert contents(shipped) == before


def test_hand_written_files_of_the_users_folder_are_left_alone(folders: dict[str, Path]) -> None:
    mine = folders["mine"]
    text = (
        f"# mine\nfamily: local-base\nmodels:\n- {{id: base, role: base, path: {folders['base']}}}\n"
        f"- {{id: chat, base: base, path: {folders['chat']}}}\n"
    )
    write(mine, text, "local-base.yaml")
    _, post = register_local(mine, folders["base"], folders["math"])
    assert (post.base, post.file.name) == ("base", "local-base-2.yaml")
    _, again = register_local(mine, folders["math"], folders["chat"])
    assert (again.base, again.id != "chat") == ("math", True)
    assert (mine / "local-base.yaml").read_text() == text


def test_both_ways_round_is_no_circle(folders: dict[str, Path]) -> None:
    mine = folders["mine"]
    forth = register_local(mine, folders["base"], folders["math"])
    back = register_local(mine, folders["math"], folders["base"])
    assert back[0] == forth[1]
    assert back[1].id != forth[0].id
    assert back[1].path == forth[0].path
    assert register_local(mine, folders["math"], folders["base"]) == back
    assert register_local(mine, folders["base"], folders["math"]) == forth


def test_a_model_with_itself(folders: dict[str, Path]) -> None:
    mine, shipped = folders["mine"], folders["shipped"]
    base, post = register_local(mine, folders["rl"], folders["rl"], shipped=[shipped])
    assert base == post
    assert (base.id, base.all_references) == ("rl", ("rl",))
    # A registered descendant is no base of itself: the pair is a second entry.
    base, post = register_local(mine, folders["chat"], folders["chat"], shipped=[shipped])
    assert base == post
    assert (base.role, base.path, base.all_references) == ("base", folders["chat"], (base.id,))
    assert base.id != "s-chat"
    assert register_local(mine, "s-chat", folders["chat"], shipped=[shipped]) == (base, post)


def test_same_names_and_strange_names(folders: dict[str, Path], tmp_path: Path) -> None:
    mine = folders["mine"]
    strange = []
    for name in ("a/model", "b/model", "c/Model", "d/...", "e/ü: [x]\n- y", "f/" + "x" * 200):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        strange.append(folder)
    ids = []
    for folder in strange[1:]:
        base, post = register_local(mine, strange[0], folder)
        assert base.id == "model"
        assert post.path == folder
        assert re.fullmatch(families.MODEL_ID_PATTERN, post.id)
        ids.append(post.id)
    assert len(set(map(str.casefold, ids))) == len(ids)


def test_adapters_and_links(folders: dict[str, Path], tmp_path: Path) -> None:
    (folders["math"] / "adapter_config.json").write_text("{}")
    link = tmp_path / "latest"
    link.symlink_to(folders["math"])
    _, post = register_local(folders["mine"], folders["base"], link)
    assert (post.method, post.path, post.id) == ("adapter", folders["math"], "math")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere/at/all", "no folder here"),
        ("gpt2", "org/name"),
        ("s-bas", 'Did you mean "s-base"'),
        ("org/name@", "org/name@revision"),
        ("org/name@a b", "no Hub id"),
        ("../../etc/none", "no Hub id"),
        ("a\0b", "no folder"),
        ("x" * 5000, "no folder"),
        ("", "no folder"),
        ("~nobody-of-that-name/x", "no folder"),
    ],
)
def test_what_is_no_checkpoint_is_said_so(folders: dict[str, Path], text: str, said: str) -> None:
    with pytest.raises(UnknownSource, match=re.escape(said)) as caught:
        register_local(folders["mine"], folders["base"], text, shipped=[folders["shipped"]])
    assert len(str(caught.value)) < 500
    assert contents(folders["mine"]) == {}


def test_a_file_is_no_checkpoint(folders: dict[str, Path]) -> None:
    file = write(folders["base"], "", "model.safetensors")
    with pytest.raises(UnknownSource, match="is a file; give the folder"):
        register_local(folders["mine"], folders["base"], file)


def test_a_folder_that_cannot_be_written(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FamilyFileError, match="cannot be written"):
        register_local(tmp_path / "file" / "mine", folders["base"], folders["chat"])


def test_many_at_once_lose_nothing(folders: dict[str, Path], tmp_path: Path) -> None:
    """Threads with a lock of their own each, and two processes, all on one file."""
    posts = []
    for n in range(8):
        posts.append(tmp_path / f"post-{n}")
        posts[-1].mkdir()
    code = (
        "import sys; from pathlib import Path; from resources.families import register_local as r\n"
        "for post in sys.argv[3:]: r(Path(sys.argv[1]), sys.argv[2], post)"
    )
    arguments = [str(p) for p in (folders["mine"], folders["base"], *posts)]
    processes = [subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=PROJECT) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda post: register_local(folders["mine"], folders["base"], post), reversed(posts)))
    assert [p.wait(60) for p in processes] == [0, 0]
    registry = load_registry(folders["mine"])
    assert len(registry.models) == 9
    assert all(m.base == "base" for m in registry.models.values() if m.id != "base")
    assert not list(folders["mine"].glob("*.tmp"))
