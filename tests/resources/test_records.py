"""Stored records: what comes back is what was written, or nothing."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path

import pytest

from resources.records import RecordError, load_record, read_record, trim_records, write_record

VALUE = {"nf": 0.1 + 0.2, "left": [1e-300, -0.0, 5.0], "text": "ä\n\u2028", "none": None, "of": {"b": 1, "a": [True]}}


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    write_record(tmp_path / "deep" / "a.json", VALUE, version="2")
    assert read_record(tmp_path / "deep" / "a.json", version="2") == VALUE
    assert json.loads((tmp_path / "deep" / "a.json").read_text())["value"] == VALUE


def test_a_missing_record_and_another_version_are_nothing(tmp_path: Path) -> None:
    assert read_record(tmp_path / "a.json") is None
    write_record(tmp_path / "a.json", VALUE, version="1")
    assert read_record(tmp_path / "a.json", version="2") is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '"text"', "{}", '{"sha256": "", "version": "", "value": 1}', "[" * 100_000, '{"value":' * 9000],
)
def test_anything_else_in_the_file_is_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert read_record(tmp_path / "a.json") is None


def test_a_number_changed_by_hand_is_not_believed_and_said_to_be_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.json"
    write_record(path, {"value": 0.25})
    path.write_text(path.read_text().replace("0.25", "0.999"))
    with caplog.at_level(logging.WARNING):
        assert read_record(path) is None
    assert "a.json" in caplog.text
    with pytest.raises(RecordError, match=r"a\.json"):
        load_record(path)


def test_a_record_under_another_name_is_not_believed(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", VALUE)
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    assert read_record(tmp_path / "b.json") is None


def test_no_flipped_bit_changes_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_record(path, VALUE, version="1")
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        found = read_record(path, version="1")
        assert found is None or json.dumps(found) == json.dumps(VALUE)


@pytest.mark.parametrize(
    "check", [lambda v: v["rows"], lambda v: v[7], lambda v: int(v), lambda v: v.rows, lambda _: 0]
)
def test_another_shape_is_nothing(tmp_path: Path, check) -> None:  # type: ignore[no-untyped-def]
    for value in (VALUE, [1, 2], "text", None):
        write_record(tmp_path / "a.json", value)
        assert read_record(tmp_path / "a.json", check=check) is None


def test_random_damage_never_raises(tmp_path: Path) -> None:
    path, generator = tmp_path / "a.json", random.Random(0)
    write_record(path, VALUE)
    whole = path.read_bytes()
    for _ in range(300):
        start = generator.randrange(len(whole))
        path.write_bytes(whole[:start] + generator.randbytes(generator.randrange(8)) + whole[start + 4 :])
        found = read_record(path)
        assert found is None or json.dumps(found) == json.dumps(VALUE)


def test_records_used_longest_ago_are_trimmed_first(tmp_path: Path) -> None:
    paths = [tmp_path / "ab" / f"{number}.json" for number in range(4)]
    for number, path in enumerate(paths):
        write_record(path, VALUE)
        os.utime(path, (1000 + number, 1000 + number))
    assert read_record(paths[0]) == VALUE  # used just now
    assert trim_records(tmp_path, 2.5 * paths[0].stat().st_size) == 2
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert trim_records(tmp_path) == 0
