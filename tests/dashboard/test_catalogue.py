"""The published file explains itself: texts, groups and links come from it, and an older file is named as such."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.source import Source, latest
from resources.warehouse import WarehouseError, current
from resources.warehouse.query import frame, rows
from tests import synthetic
from tests.synthetic import open_store, publish

from .conftest import words

App = Callable[..., AppTest]
PROJECT = Path(__file__).resolve().parent.parent.parent


def changed(folder: Path, data: Path, *statements: str) -> Path:
    """A copy of a data folder whose published file was changed by hand."""
    shutil.copytree(data, folder)
    path = current(folder / "published")
    assert path
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return folder


def source_of(data: Path) -> Source:
    path = latest(data / "published")
    assert path
    return Source(path)


def test_texts_are_those_of_the_file(app: App, small: Path, tmp_path: Path) -> None:
    said = "How uneven, in other words than the program's."
    data = changed(
        tmp_path / "data", small, f"UPDATE column_texts SET text = $${said}$$ WHERE column_name = 'ratio_cv'"
    )
    assert said in {metric.help for metric in app(data, "scale").metric}


def test_meaning_is_of_the_table_named(source: Source) -> None:
    meaning = source.catalogue.meaning
    assert meaning("relative_change", "rotation_statistics") != meaning("relative_change", "tensor_changes")
    assert meaning("no_such_column") is meaning("alpha_median", "no_such_table") is None
    assert source.catalogue.asset_of("generations") == "evaluation_scores"
    assert "singular_values" not in source.catalogue.tables["decompositions"].single_values


def test_a_new_group_shows_on_the_models_page(app: App, small: Path, tmp_path: Path) -> None:
    """Nothing in the dashboard names the tables, assets or groups that the page lists."""
    columns = ("model_id", "run_id", "code_version", "materialized_at")
    data = changed(
        tmp_path / "data",
        small,
        "CREATE TABLE toys AS SELECT model_id, run_id, code_version, materialized_at FROM models "
        "WHERE model_id = 'demo-math'",
        "INSERT INTO table_texts VALUES ('toys', 'toy_asset', 'playroom', ['model_id'], 'Toys.')",
        *(f"INSERT INTO column_texts VALUES ('toys', '{c}', 'VARCHAR', 'Text of {c}.')" for c in columns),
    )
    test = app(data, "models", model="demo-math")
    assert not test.exception
    counts = test.dataframe[0].value.set_index("model_id")["group playroom"]
    assert (counts["demo-math"], counts["demo-base"]) == ("1 of 1", "0 of 1")
    made = test.dataframe[2].value.set_index("table")
    assert made.loc["toys", "asset"].endswith("/assets/toy_asset?partition=demo-math")
    assert made.loc["generations", "asset"].endswith("/assets/evaluation_scores?partition=demo-math")
    assert "`toy_asset`" in words(app(data, "models", model="demo-waiting"))


def test_the_dashboard_has_no_table_definitions_of_its_own() -> None:
    for file in (PROJECT / "dashboard").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("resources.warehouse"):
                assert not {"TABLES", "Table", "Column"} & {alias.name for alias in node.names}, file
                assert not (node.module or "").endswith((".schema", ".tables")), file


@pytest.mark.parametrize(
    ("statement", "ask", "absent"),
    [
        ("ALTER TABLE edited_checkpoints DROP weight_error", lambda s: queries.scores(s, "m", "b"), "weight_error"),
        ("ALTER TABLE scale_statistics DROP ratio_cv", queries.overall, "ratio_cv"),
        ("DROP TABLE generations", lambda s: queries.generations(s, "m", "b"), "generations"),
    ],
)
def test_what_an_older_file_lacks_is_named_with_the_remedy(
    small: Path, tmp_path: Path, statement: str, ask: Callable[[Source], object], absent: str
) -> None:
    ask(source_of(small))
    data = changed(tmp_path / "data", small, statement)
    with pytest.raises(WarehouseError, match=rf"\.duckdb was published before .*{absent}.*run `rotoscale publish`"):
        ask(source_of(data))


@pytest.mark.parametrize(
    ("sql", "absent"),
    [
        ("SELECT newer FROM t", "a column newer"),
        ("SELECT u.newer FROM t u", "a column newer"),
        ("SELECT x FROM t JOIN (SELECT 1 AS newer) USING (newer)", "a column newer"),
        ("SELECT x FROM newer", "a table newer"),
    ],
)
def test_a_query_that_asks_too_much_of_a_file_ends_in_that_sentence(tmp_path: Path, sql: str, absent: str) -> None:
    with duckdb.connect(str(tmp_path / "old.duckdb")) as connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
        for ask in (frame, rows):
            with pytest.raises(WarehouseError, match=rf"old\.duckdb was published before there was {absent};"):
                ask(connection, sql)


def test_a_mistake_in_a_query_is_not_called_an_old_file(source: Source) -> None:
    with pytest.raises(duckdb.BinderException):
        source.frame("SELECT max(model_id, 1, 2, 3) + layer FROM scale_statistics")


def test_a_file_from_before_it_described_itself_is_refused_with_a_remedy(app: App, tmp_path: Path) -> None:
    synthetic.small(tmp_path, shape=synthetic.Shape(layers=1))
    path = current(tmp_path / "published")
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE table_texts")
    test = app(tmp_path, "scale")
    assert not test.exception
    assert "run `rotoscale publish`" in test.code[0].value


def test_answers_are_kept_by_published_version(tmp_path: Path) -> None:
    models = [synthetic.Model("b", "f", "base", "b", "base")]
    one = Source(synthetic.write(tmp_path, models, synthetic.Shape(layers=1)).path)
    first = queries.models(one)
    first.loc[0, "model_id"] = "changed by whoever asked"
    assert queries.models(one)["model_id"].tolist() == ["b"]
    asked: list[int] = []
    one.frame = lambda *_: asked.append(1)  # type: ignore[method-assign]
    assert len(queries.models(one)) == 1
    assert not asked
    models.append(synthetic.Model("m", "f", "math", "b"))
    two = Source(synthetic.write(tmp_path, models, synthetic.Shape(layers=1)).path)
    assert (len(queries.models(one)), len(queries.models(two))) == (1, 2)


def test_what_publish_writes_is_what_the_dashboard_reads(tmp_path: Path) -> None:
    published = publish(open_store(tmp_path), tmp_path / "published")
    tables = Source(published.path).catalogue.tables
    assert tables["models"].group == "models"
    assert tables["coverage"].asset == "tensor_changes"
