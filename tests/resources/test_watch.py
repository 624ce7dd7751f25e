"""The `watch:` block of a family file, and releases that join a family."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from resources import families
from resources.families import FamilyFileError, load_family, load_registry, register_release
from resources.families.source import Source
from tests.resources.family_files import write

MODELS = """\
family: small
models:
  - {id: small-base, role: base, hub: org/base}
  - {id: small-chat, base: small-base, hub: org/chat}
  - {id: small-local, base: small-base, path: local}
"""
EVERYTHING = """\
watch:
  hub: true
  bases: [small-chat, other/base]
  relations: [finetune, adapter]
  folders: [runs]
  base: small-base
  authors: [org]
  names: ["*math*"]
  skip_names: ["*-test"]
  licences: [mit]
  dtypes: [bfloat16]
  min_downloads: 100
  min_likes: 5
  max_parameters: 1.5B
  since: 2026-01-31
  cap: 7
  follow: true
"""


def test_everything_that_a_family_may_watch(tmp_path: Path) -> None:
    text = MODELS + EVERYTHING
    family = load_family(write(tmp_path, text))
    assert family.watch is not None
    assert family.watched_repositories == {"org/chat": "small-base", "other/base": "small-base"}
    assert family.watch.max_parameters == 1_500_000_000
    assert family.watch.folders == (tmp_path / "runs",)
    assert (family.watch.since, family.watch.cap, family.watch.follow) == ("2026-01-31", 7, True)
    assert family.watch.wants_name("org/My-Math-7B")
    assert not family.watch.wants_name("org/chat")
    assert not family.watch.wants_name("org/math-test")
    jsonschema.Draft202012Validator(families.family_schema()).validate(
        {**yaml.safe_load(MODELS), "watch": {**yaml.safe_load(EVERYTHING)["watch"], "since": "2026-01-31"}}
    )


def test_without_a_block_nothing_is_watched(tmp_path: Path) -> None:
    family = load_family(write(tmp_path, MODELS))
    assert family.watch is None
    assert family.watched_repositories == {}


def test_the_bases_of_the_family_are_watched_unless_others_are_named(tmp_path: Path) -> None:
    assert load_family(write(tmp_path, MODELS + "watch: {hub: true}\n")).watched_repositories == {
        "org/base": "small-base"
    }
    named = load_family(write(tmp_path, MODELS + "watch: {bases: [small-chat]}\n"))
    assert named.watched_repositories == {"org/chat": "small-chat"}


@pytest.mark.parametrize(
    ("watch", "line", "said"),
    [
        ("watch: {hubs: true}", 6, 'watch.hubs is not a known key. Did you mean "hub"?'),
        ("watch:\n  hub: true\n  relation: [merge]", 8, 'Did you mean "relations"?'),
        ("watch:\n  hub: true\n  relations: [merges]", 8, 'found "merges". Did you mean "merge"?'),
        ("watch:\n  hub: true\n  dtypes: [bf16]", 8, 'a number format such as bfloat16; found "bf16"'),
        ("watch:\n  hub: yes please", 7, "watch.hub must be true or false"),
        ("watch:\n  hub: true\n  max_parameters: seven", 8, "a number of parameters such as 8B or 500M"),
        ("watch:\n  hub: true\n  cap: 0", 8, "watch.cap must be a whole number, 1 or more"),
        ("watch:\n  hub: true\n  since: last week", 8, "a day such as 2026-01-31"),
        ("watch:\n  follow: true", 6, "watches nothing; add `hub: true`"),
        ("watch:\n  bases: [small-chatt]", 7, 'Did you mean "small-chat"?'),
        ("watch:\n  bases: [small-local]", 7, "which is a folder here"),
        ("watch:\n  hub: true\n  base: small", 8, "which is no model of this file"),
    ],
)
def test_a_mistake_is_answered_with_its_line(tmp_path: Path, watch: str, line: int, said: str) -> None:
    with pytest.raises(FamilyFileError) as raised:
        load_family(write(tmp_path, MODELS + watch + "\n"))
    assert raised.value.line == line
    assert said in str(raised.value)


def test_a_family_without_a_base_on_the_hub_says_so(tmp_path: Path) -> None:
    text = "family: small\nmodels:\n- {id: b, role: base, path: b}\nwatch: {hub: true}\n"
    with pytest.raises(FamilyFileError, match="no base model of this file comes from the Hub"):
        load_family(write(tmp_path, text))


# ------------------------------------------------------------------------------------------------ releases that join


def test_a_release_joins_its_family_in_a_file_of_its_own(tmp_path: Path) -> None:
    shipped, mine = tmp_path / "shipped", tmp_path / "mine"
    file = write(shipped, MODELS + "recipes: [restore]\n")
    before = file.read_text()
    source = Source(hub="lab/po.et", revision="0" * 40)
    entry = register_release(mine, "small", "small-base", source, "unspecified", shipped=[shipped])
    assert (entry.id, entry.family, entry.base, entry.source) == (
        "lab--po.et",
        "small",
        "small-base",
        f"lab/po.et@{'0' * 40}",
    )
    registry = load_registry(shipped, mine)
    assert registry.releases == {"lab--po.et"}
    assert [m.id for m in registry.automatic()] == ["small-base", "small-chat", "small-local", "lab--po.et"]
    assert registry.family_of("lab--po.et").recipes == ("restore",)
    assert file.read_text() == before
    assert register_release(mine, "small", "small-base", source, "unspecified", shipped=[shipped]) == entry
    later = Source(hub="lab/po.et", revision="1" * 40)
    second = register_release(mine, "small", "small-base", later, "unspecified", shipped=[shipped])
    assert second.id.startswith("lab--po.et-")


def test_an_id_has_no_comma_or_other_sign_that_a_partition_key_cannot_have(tmp_path: Path) -> None:
    shipped, mine = tmp_path / "shipped", tmp_path / "mine"
    write(shipped, MODELS)
    folder = tmp_path / "run 7, last" / "step..5 (ümlaut)"
    folder.mkdir(parents=True)
    entry = register_release(mine, "small", "small-base", Source(path=folder), "unspecified", shipped=[shipped])
    assert entry.id == "run-7-last--step.5-mlaut"
    assert entry.path == folder


def test_a_release_never_breaks_the_registry(tmp_path: Path) -> None:
    shipped, mine = tmp_path / "shipped", tmp_path / "mine"
    write(shipped, MODELS)
    for name in ("a", "b"):
        source = Source(hub=f"lab/{name}", revision="0" * 40)
        register_release(mine, "small", "small-base", source, "unspecified", shipped=[shipped])
    write(shipped, MODELS + "  - {id: lab--a, base: small-base, path: a}\n")
    registry = load_registry(shipped, mine)
    assert registry.model("lab--a").path is not None
    assert registry.releases == {"lab--b"}
    write(shipped, MODELS.replace("small-base", "base-2"))
    assert load_registry(shipped, mine).releases == frozenset()
    write(shipped, MODELS.replace("family: small", "family: other"))
    assert load_registry(shipped, mine).releases == frozenset()
