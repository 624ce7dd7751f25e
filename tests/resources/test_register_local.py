"""Pairs registered from the command line: what is used, what is written, and what is left alone."""

from __future__ import annotations

import concurrent.futures
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from resources import families
from resources.families import FamilyFileError, UnknownSource, load_registry, register_local
from tests.resources.family_files import PROJECT, write


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
    assert tuple(register_local(mine, str(folders["base"]) + "/.", folders["math"])) == (base, post)
    assert tuple(register_local(mine, "base", "math")) == (base, post)
    assert contents(mine) == before
    jsonschema.validate(yaml.safe_load(before["local-base.yaml"]), families.family_schema())
    again, third = register_local(mine, folders["base"], folders["rl"])
    assert again == base
    assert [m.id for m in load_registry(mine).families["local-base"].models] == ["base", "math", "rl"]
    assert third.base == "base"
    assert load_registry(mine).automatic() == ()  # a one-off comparison runs only when named


def test_hub_ids_and_revisions(folders: dict[str, Path]) -> None:
    mine = folders["mine"]
    base, post = register_local(mine, "org/Base-1B", "other/Chat-1B@refs/pr/3")
    assert (base.id, base.hub, base.revision, base.source) == ("Base-1B", "org/Base-1B", "main", "org/Base-1B@main")
    assert (post.id, post.hub, post.revision) == ("Chat-1B", "other/Chat-1B", "refs/pr/3")
    assert register_local(mine, "org/Base-1B@main", "other/Chat-1B@refs/pr/3").post == post
    _, newer = register_local(mine, "org/Base-1B", "other/Chat-1B")
    assert newer.id != post.id
    assert re.fullmatch(r"Chat-1B-[0-9a-f]{8}", newer.id)


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
    assert register_local(mine, folders["base"], folders["chat"], shipped=[shipped]).post.id == "s-chat"
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
    assert back.base == forth.post
    assert back.post.id != forth.base.id
    assert back.post.path == forth.base.path
    assert tuple(register_local(mine, folders["math"], folders["base"])) == tuple(back)
    assert tuple(register_local(mine, folders["base"], folders["math"])) == tuple(forth)


def test_every_pair_is_in_the_family_of_its_base(folders: dict[str, Path]) -> None:
    """Also the reverse of a pair when another reverse of the same model came before, and any second base."""
    mine, shipped = folders["mine"], folders["shipped"]
    names = ("base", "chat", "math", "rl")
    for base_name in names:
        for post_name in names:
            base, post = register_local(mine, folders[base_name], folders[post_name])
            assert (base.path, post.path) == (folders[base_name], folders[post_name])
            assert post.family == f"local-{base.id}"
            assert post.all_references == (base.id,)
    back = register_local(mine / "new", folders["chat"], folders["base"], shipped=[shipped])
    assert (back.base.id, back.post.family) == ("s-chat", "local-s-chat")


def test_files_written_before_run_only_when_named(folders: dict[str, Path]) -> None:
    """Earlier versions wrote `automatic: true` for folders; a file that somebody else wrote says what it says."""
    mine = folders["mine"]
    base, post = register_local(mine, folders["base"], folders["math"])
    text = base.file.read_text().replace("automatic: false", "automatic: true")
    base.file.write_text(text)
    assert not load_registry(mine).family_of(base.id).automatic
    assert "automatic: true" in text
    base.file.write_text(text.partition("\n")[2])
    assert {m.id for m in load_registry(mine).automatic()} == {base.id, post.id}


def test_what_was_added_by_hand_is_kept(folders: dict[str, Path]) -> None:
    mine = folders["mine"]
    base, _ = register_local(mine, folders["base"], folders["math"])
    with base.file.open("a") as file:
        file.write(
            "evaluation:\n  tasks: [gsm8k, {name: mmlu, limit: 5}]\n  prompts: ['1.50']\n"
            "recipes:\n- restore\n- {name: shuffle, strength: 0.5, seed: null, of: '7'}\n"
        )
    before = load_registry(mine).family_of(base.id)
    register_local(mine, folders["base"], folders["rl"])
    after = load_registry(mine).family_of(base.id)
    assert [m.id for m in after.models] == ["base", "math", "rl"]
    assert after.evaluation == before.evaluation
    assert after.recipes == before.recipes == ("restore", {"name": "shuffle", "strength": 0.5, "seed": None, "of": "7"})
    assert after.models[:2] == before.models


def test_a_registration_can_be_undone(folders: dict[str, Path]) -> None:
    mine, shipped = folders["mine"], folders["shipped"]
    first = register_local(mine, folders["base"], folders["math"])
    assert first.added == ("base", "math")
    before = contents(mine)
    second = register_local(mine, folders["base"], folders["rl"])
    assert second.added == ("rl",)
    assert second.undo() == ("rl",)
    assert contents(mine) == before
    assert second.undo() == ()
    assert register_local(mine, folders["base"], folders["math"]).undo() == ()  # it was there before
    assert contents(mine) == before
    assert first.undo() == ("math", "base")
    assert contents(mine) == {}
    assert register_local(mine, folders["base"], folders["chat"], shipped=[shipped]).undo() == ()
    assert {m.id for m in load_registry(shipped).models.values()} == {"s-base", "s-chat"}


def test_undoing_leaves_what_others_need(folders: dict[str, Path]) -> None:
    mine = folders["mine"]
    first = register_local(mine, folders["base"], folders["math"])
    register_local(mine, folders["math"], folders["rl"])
    register_local(mine, folders["base"], folders["chat"])
    assert first.undo() == ()
    assert set(load_registry(mine).models) == {"base", "math", "rl", "chat"}


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
    assert tuple(register_local(mine, "s-chat", folders["chat"], shipped=[shipped])) == (base, post)


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
