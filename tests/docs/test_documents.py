"""The documents hold against the code: they build, their queries run, their errors are real, their lists are whole."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.families import load_registry
from resources.families.schema import keys
from resources.settings import Settings
from resources.warehouse import read
from scripts import family_schema
from tests import synthetic
from tests.docs.pages import DOCS, PROJECT, blocks, sentences

README = PROJECT / "README.md"
WITH_QUERIES = [DOCS / "tables.md", DOCS / "citing.md"]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with published tables of the demo family's structure in `data/`."""
    folder = tmp_path_factory.mktemp("made-up")
    synthetic.small(folder / "data")
    store = synthetic.open_store(folder / "data")
    for file in store.models("models"):
        (model,) = store.read("models", file)
        pair = {"model_id": model["model_id"], "base_id": model["base_id"]}
        place = {"layer": 0, "matrix": "q", "expert": -1}
        more = {
            "agreement": [pair | place | {"depth": "full", "tau": 0.1, "q_together": 0.01, "q_apart": 1.0}],
            "tensor_changes": [
                pair
                | place
                | {"tensor": "q", "principal": True, "relative_change": 0.02, "identical_share": 0.5, "base_norm": 1.0}
            ],
        }
        for table, rows in more.items():
            store.write(table, file, rows, run_id="", code_version="synthetic")
    synthetic.publish(store, folder / "data" / "published")
    return folder


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed (the extra `docs`)")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Strict: a link or a heading that is not there fails."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=PROJECT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "reading.html").read_text(encoding="utf-8")
    assert "figures/agreement.svg" in page
    loaded = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="?(https?://[^">]+)', page)
    assert loaded == [], "a page loads from elsewhere"


def test_every_page_has_its_place_in_the_site() -> None:
    site = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))

    def listed(node: Any) -> set[str]:
        if isinstance(node, str):
            return {node}
        return {page for one in (node.values() if isinstance(node, dict) else node) for page in listed(one)}

    assert listed(site["nav"]) == {file.name for file in DOCS.glob("*.md")}


@pytest.mark.parametrize("page", [*WITH_QUERIES, README], ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", WITH_QUERIES, ids=lambda page: page.stem)
def test_every_query_runs(page: Path, made_up: Path) -> None:
    queries = blocks(page, "sql")
    assert queries
    with read(made_up / "data" / "published") as connection:
        for query in queries:
            connection.execute(query).fetchall()


@pytest.mark.parametrize("page", [README, DOCS / "tables.md"], ids=lambda page: page.name)
def test_programs_that_open_the_published_file_run(
    page: Path, made_up: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made_up)
    programs = [text for text in blocks(page, "python") if "duckdb" in text]
    assert programs
    for program in programs:
        exec(compile(program, page.name, "exec"), {})
    if page == README:
        printed = capsys.readouterr().out
        assert "demo-reasoning" in printed
        assert "demo-scratch" not in printed, "the negative control is pooled with results"


def test_queries_leave_out_the_negative_control(made_up: Path) -> None:
    """Each query that summarises over models asks for descendants."""
    with read(made_up / "data" / "published") as connection:
        for query in blocks(DOCS / "tables.md", "sql"):
            if "GROUP BY" in query:
                rows = connection.execute(query).fetchall()
                assert rows
                assert "demo-scratch" not in {value for row in rows for value in row}, query


def test_every_error_that_is_explained_is_one_of_ours() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    explained = [heading.strip("`") for heading in re.findall(r"^### (`.*`)$", page, re.MULTILINE)]
    assert len(explained) > 30
    ours = set(sentences())
    assert [error for error in explained if not any(_matches(error, text) for text in ours)] == []


def _matches(error: str, text: str) -> bool:
    """Whether the sentence as it is explained is all of the text, or a part of it."""
    return error in text or error.removesuffix("…").rstrip("; ") in text


def test_an_error_that_is_not_ours_is_found() -> None:
    assert not any(_matches("… is on fire; call …", text) for text in sentences())


def test_every_command_is_listed() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    files = (PROJECT / "command_line" / "commands").glob("[!_]*.py")
    commands = {file.stem.replace("_", "-") for file in files}
    assert {name for name in commands if f"| `rotoscale {name}" not in page} == set()


def test_every_setting_is_listed() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert names == set(re.findall(r"^\| `(ROTOSCALE_\w+)` \|", page, re.MULTILINE))


def test_examples_of_family_files_can_be_read(tmp_path: Path) -> None:
    """The one of families.md, with the block of releases.md at its end."""
    (example,), (watch,) = blocks(DOCS / "families.md", "yaml"), blocks(DOCS / "releases.md", "yaml")
    (tmp_path / "mine.yaml").write_text(example, encoding="utf-8")
    assert list(load_registry(tmp_path).models) == ["mine-base", "mine-tuned", "mine-scratch"]
    of_the_hub = example.replace("path: ../demo/checkpoints/demo-base", "hub: Qwen/Qwen2.5-1.5B")
    (tmp_path / "mine.yaml").write_text(f"{of_the_hub}\n{watch}", encoding="utf-8")
    (family,) = load_registry(tmp_path).families.values()
    assert family.watch is not None
    assert family.watch.authors == ("Qwen",)


def test_every_key_of_a_family_file_is_explained() -> None:
    assert [(mapping, key) for mapping, key, what_for, _, _ in keys() if not what_for] == []


def test_what_is_made_from_the_family_files_definition_is_current() -> None:
    """If not: `python -m scripts.family_schema`."""
    assert family_schema.SCHEMA.read_text(encoding="utf-8") == family_schema.schema_text()
    page = family_schema.PAGE.read_text(encoding="utf-8")
    assert page == family_schema.page_text(page)
    assert "| `automatic` |" in page


def test_shipped_family_files_name_the_schema() -> None:
    for file in family_schema.SCHEMA.parent.glob("*.yaml"):
        assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n"), file.name


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 150


def test_the_citation_names_this_version() -> None:
    import tomllib

    cited = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert "Apache License" in (PROJECT / "LICENSE").read_text(encoding="utf-8")[:200]
