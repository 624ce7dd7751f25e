"""Names made harmless, numbers made readable, links that lead where they say."""

from __future__ import annotations

import math

import pytest

from dashboard import launch, text
from dashboard.quantities import QUANTITIES
from tests.synthetic import TABLES


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.00449, "1.004"), (0, "0"), (0.00001234, "1.23e-05"), (123456.7, "1.23e+05"), (math.nan, "–"),
        (None, "–"), (math.inf, "∞"), (-math.inf, "−∞"), ("", "–"), (-0.5, "-0.500"),
    ],
)  # fmt: skip
def test_numbers(value: object, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0, "< 1e-299"), (1e-300, "< 1e-299"), (5e-324, "< 1e-299"), (5.2e-140, "5.2e-140"), (0.0449, "0.045"),
        (1, "1"), (math.nan, "–"), (None, "–"),
    ],
)  # fmt: skip
def test_a_p_value_is_never_0(p: float | None, shown: str) -> None:
    assert text.p_value(p) == shown


def test_p_values_are_known_by_the_names_of_their_columns() -> None:
    columns = {column.name for table in TABLES.values() for column in table.columns}
    found = {column for column in columns if text.is_p_value(column)}
    assert {"p_value", "rank_p", "q_value", "q_together", "p_exact", "control_smallest_p"} <= found
    assert not found & {"tau", "matrix", "ratio_p05", "n_prompts", "alpha_top", "page", "principal"}


def test_a_column_is_not_called_by_the_key_of_another_quantity() -> None:
    assert (text.title("principal"), text.title("tau")) == ("Principal", QUANTITIES["tau"].label)


@pytest.mark.parametrize(
    ("value", "shown"), [(2545.3, "2545"), (-9261.4, "-9261"), (0.8581, "0.858"), (2.5e7, "2.5e+07"), (23.456, "23.5")]
)
def test_numbers_beside_marks_are_short_and_written_out(value: float, shown: str) -> None:
    assert text.brief(value) == shown


def test_scores_with_errors() -> None:
    assert text.with_error(0.5, 0.05) == "0.50 ± 0.05"
    assert text.with_error(0.5, None) == "0.50"
    assert text.with_error(None, 0.1) == "–"


def test_big_numbers() -> None:
    assert [text.big(v) for v in (1_543_714_304, 26_100_000, 999, None, math.nan)] == [
        "1.54 B", "26.1 M", "999", "–", "–",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["plain", "`", "``a`", "a`b``c", " `x` ", "<b>", ""])
def test_code_spans_hold_what_they_are_given(name: str) -> None:
    span = text.code(name)
    fence = span[: len(span) - len(span.lstrip("`"))]
    inside = span[len(fence) : -len(fence)] if name else ""
    assert fence not in inside
    assert span.endswith(fence)


def test_long_names_keep_both_ends() -> None:
    cut = text.short("a" * 200 + "end", 20)
    assert (len(cut), cut[0], cut[-3:]) == (20, "a", "end")
    assert text.short("two\nlines") == "two lines"


def test_links_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROTOSCALE_DAGSTER_URL", raising=False)
    assert text.run_link("../../x y") == "http://127.0.0.1:3000/runs/..%2F..%2Fx%20y"
    assert text.asset_link("scale_statistics", "a&b") == "http://127.0.0.1:3000/assets/scale_statistics?partition=a%26b"
    assert text.run_link(None) is None
    monkeypatch.setenv("ROTOSCALE_DAGSTER_URL", "javascript:alert(1)")
    assert text.dagster() == "http://127.0.0.1:3000"


def test_every_quantity_is_in_the_contract() -> None:
    for quantity in QUANTITIES.values():
        TABLES[quantity.table].column(quantity.column)


def test_the_server_is_local_and_quiet() -> None:
    command = launch.command(8555)
    options = dict(zip(command[5::2], command[6::2], strict=True))
    assert options["--server.address"] == "127.0.0.1"
    assert options["--server.port"] == "8555"
    assert options["--browser.gatherUsageStats"] == "false"
    assert launch.environment()["PYTHONPATH"].startswith(str(launch.PROJECT))
