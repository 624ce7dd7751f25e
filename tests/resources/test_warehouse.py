"""The warehouse contract: atomic rows, publishing beside open readers, refusal of what cannot be trusted."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from assets.groups import contract
from resources.atomic import machine
from resources.warehouse import (
    SCHEMA_VERSION,
    TableStore,
    WarehouseError,
    current,
    is_published,
    publish,
    read,
)
from resources.warehouse import tables as tables_module
from resources.warehouse.publish import check_published

ROW = {"model_id": "m", "layer": 0, "matrix": "q", "expert": -1, "rows": 2, "cols": 2, "singular_values": [2.0, 1.0]}
STAMP = {"run_id": "r1", "code_version": "1"}


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path / "tables", contract())


def test_rows_come_back_with_their_provenance(store: TableStore) -> None:
    store.write("decompositions", "m", [ROW], **STAMP, fingerprint="f")
    (row,) = store.read("decompositions", "m")
    assert row["singular_values"] == [2.0, 1.0]
    assert (row["run_id"], row["code_version"]) == ("r1", "1")
    assert row["materialized_at"].tzinfo is not None
    assert row["residual"] is None
    assert store.fingerprint("decompositions", "m") == "f"
    assert store.fingerprint("decompositions", "other") is None


def test_writing_again_replaces(store: TableStore) -> None:
    store.write("decompositions", "m", [ROW, {**ROW, "layer": 1}], **STAMP)
    store.write("decompositions", "m", [ROW], **STAMP)
    assert len(store.read("decompositions", "m")) == 1


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{**ROW, "surprise": 1}], "surprise"),
        ([ROW, ROW], "twice"),
        ([{k: v for k, v in ROW.items() if k != "layer"}], "layer"),
    ],
)
def test_rows_outside_the_contract_are_refused(store: TableStore, rows: list[dict], complaint: str) -> None:
    with pytest.raises(WarehouseError, match=complaint):
        store.write("decompositions", "m", rows, **STAMP)
    assert store.read("decompositions", "m") == []


def test_a_failed_write_leaves_the_old_rows_and_no_litter(store: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("decompositions", "m", [ROW], **STAMP)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        store.write("decompositions", "m", [ROW, {**ROW, "layer": 1}], **STAMP)
    assert len(store.read("decompositions", "m")) == 1
    assert [p.name for p in store.path("decompositions", "m").parent.iterdir()] == ["rows.parquet"]


def test_every_table_of_the_contract_is_published_with_its_types_and_texts(store: TableStore, tmp_path: Path) -> None:
    store.write("decompositions", "m", [ROW], **STAMP)
    publish(store, tmp_path / "published")
    with read(tmp_path / "published") as connection:
        for table in store.contract.values():
            described = connection.execute(f"DESCRIBE {table.name}").fetchall()
            found = {name: type_ for name, type_, *_ in described}
            expected = {c.name: c.type.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for c in table.columns}
            assert found == expected
        texts = connection.execute("SELECT count(*) FROM column_texts WHERE text <> ''").fetchone()
        assert texts == (sum(len(table.columns) for table in store.contract.values()),)


def test_a_reader_elsewhere_never_blocks_publishing_and_sees_the_new_file_next_time(
    store: TableStore, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    store.write("decompositions", "m", [ROW], **STAMP)
    first = publish(store, folder)
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True);"
        "sys.stdin.readline(); print(c.execute('select count(*) from decompositions').fetchone()[0])"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", program, str(first.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout.readline() == "open\n"
    store.write("decompositions", "n", [{**ROW, "model_id": "n"}], **STAMP)
    for _ in range(4):  # more often than old versions are kept
        second = publish(store, folder)
    assert reader.communicate("\n", timeout=60)[0] == "1\n"
    assert current(folder) == second.path
    with read(folder) as connection:
        assert connection.execute("SELECT count(*) FROM decompositions").fetchone() == (2,)


def test_publishers_at_once_take_turns(store: TableStore, tmp_path: Path) -> None:
    for i in range(6):
        store.write("decompositions", f"m{i}", [{**ROW, "model_id": f"m{i}"}], **STAMP)
    threads = [threading.Thread(target=publish, args=(store, tmp_path / "p")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with read(tmp_path / "p") as connection:
        assert connection.execute("SELECT count(*) FROM decompositions").fetchone() == (6,)
        assert connection.execute("SELECT version FROM published").fetchone() == (3,)


def test_a_file_cut_short_is_named_with_its_remedy_and_the_last_file_stays(store: TableStore, tmp_path: Path) -> None:
    path = store.write("decompositions", "m", [ROW], **STAMP)
    good = publish(store, tmp_path / "p")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WarehouseError, match=r"rows\.parquet.*materialize decompositions for m again"):
        publish(store, tmp_path / "p")
    assert current(tmp_path / "p") == good.path
    assert not list((tmp_path / "p").glob(".*.tmp"))
    assert store.fingerprint("decompositions", "m") is None


def realistic(model: str = "m", seed: int = 0) -> list[dict]:
    """Rows as a real model has them: numbers, lists, words, nulls."""
    generator = random.Random(seed)
    return [
        {
            **ROW,
            "model_id": model,
            "layer": layer,
            "matrix": matrix,
            "rank": None if layer else 32,
            "singular_values": [generator.random() for _ in range(24)],
            "frobenius_norm": generator.random(),
            "residual": generator.random() * 1e-7,
            "kernel": "gram-eigh",
            "weight_hash": generator.randbytes(32).hex(),
        }
        for layer in range(3)
        for matrix in ("q", "k", "v", "o", "gate", "up", "down")
    ]


def test_no_flipped_bit_is_read_as_another_number(store: TableStore) -> None:
    path = store.write("decompositions", "m", realistic(), **STAMP, fingerprint="f")
    whole, rows = path.read_bytes(), store.read("decompositions", "m")
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    generator = random.Random(0)
    places = [generator.randrange(len(whole)) for _ in range(300)]
    places += [generator.randrange(footer, len(whole)) for _ in range(100)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(WarehouseError, match=r"rows\.parquet.*materialize decompositions for m again"):
            store.read("decompositions", "m")
    path.write_bytes(whole)
    assert store.read("decompositions", "m") == rows


def test_a_byte_damaged_in_the_middle_ends_publishing_in_our_words_and_counts_as_not_made(
    store: TableStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = store.write("decompositions", "m", realistic(), **STAMP, fingerprint="f")
    good = publish(store, tmp_path / "p")
    assert store.fingerprint("decompositions", "m") == "f"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(WarehouseError, match=r"rows\.parquet.*materialize decompositions for m again"):
        publish(store, tmp_path / "p")
    assert current(tmp_path / "p") == good.path
    assert store.fingerprint("decompositions", "m") is None
    assert "rows.parquet" in caplog.text
    store.write("decompositions", "m", realistic(), **STAMP, fingerprint="f")
    assert store.fingerprint("decompositions", "m") == "f"
    assert publish(store, tmp_path / "p").rows["decompositions"] == 21


def test_table_files_are_plain_parquet_to_every_other_reader(store: TableStore) -> None:
    path = store.write("decompositions", "m", realistic(), **STAMP)
    ours = [row["singular_values"] for row in store.read("decompositions", "m")]
    theirs = duckdb.sql(f"SELECT singular_values FROM read_parquet('{path}')").fetchall()
    assert [list(row[0]) for row in theirs] == ours
    assert pq.read_table(path, page_checksum_verification=True).column("singular_values").to_pylist() == ours


def test_published_rows_come_in_the_order_of_the_key_whatever_the_files(store: TableStore, tmp_path: Path) -> None:
    for model in ("b", "a-b", "a"):
        store.write("decompositions", model, list(reversed(realistic(model))), **STAMP)
    publish(store, tmp_path / "p")
    with read(tmp_path / "p") as connection:
        found = connection.execute("SELECT model_id, layer, matrix, singular_values FROM decompositions").fetchall()
    assert [row[:3] for row in found] == sorted(row[:3] for row in found)
    assert len(found) == 63
    expected = {(r["layer"], r["matrix"]): r["singular_values"] for r in realistic()}
    assert all(list(row[3]) == pytest.approx(expected[row[1:3]]) for row in found)


def test_a_damaged_published_file_is_found(store: TableStore, tmp_path: Path) -> None:
    for number in range(20):
        store.write("decompositions", f"m{number}", realistic(f"m{number}", number), **STAMP)
    path = publish(store, tmp_path / "p").path
    assert check_published(tmp_path / "p") == 1
    whole = path.read_bytes()
    needle = realistic("m7", 7)[3]["weight_hash"].encode()
    place = whole.find(needle[:16])
    assert place > 0, "the hash should stand in the file as it is"
    path.write_bytes(whole[:place] + b"x" + whole[place + 1 :])
    with pytest.raises(WarehouseError, match="rotoscale publish"):
        check_published(tmp_path / "p")


def test_what_killed_runs_left_is_swept_when_publishing(store: TableStore, tmp_path: Path) -> None:
    path = store.write("decompositions", "m", [ROW], **STAMP)
    publish(store, tmp_path / "p")
    dead = f"{machine()}-{2**22 + 1}-{'a' * 32}.tmp"  # above the largest process number of Linux
    left = [path.parent / f".rows.parquet.{dead}", tmp_path / "p" / f".w.{dead}", tmp_path / "p" / f".w.{dead}.wal"]
    for file in left:
        file.write_text("half")
    publish(store, tmp_path / "p")
    assert not any(file.exists() for file in left)


@pytest.mark.parametrize(("version", "complaint"), [(SCHEMA_VERSION + 1, "update rotoscale"), (0, "older")])
def test_another_schema_version_is_refused(
    store: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, complaint: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(tables_module, "SCHEMA_VERSION", version)
        store.write("decompositions", "m", [ROW], **STAMP)
    with pytest.raises(WarehouseError, match=complaint):
        store.read("decompositions", "m")
    with pytest.raises(WarehouseError, match=complaint):
        publish(store, tmp_path / "p")


def test_rows_from_before_a_column_have_null_there(store: TableStore, tmp_path: Path) -> None:
    now = store.contract["decompositions"]
    before = dataclasses.replace(now, columns=tuple(c for c in now.columns if c.name != "rank"))
    older = TableStore(store.folder, {**store.contract, "decompositions": before})
    older.write("decompositions", "m", [{k: v for k, v in ROW.items() if k != "rank"}], **STAMP)
    publish(older, tmp_path / "p")
    assert not is_published(store, tmp_path / "p")
    with (
        pytest.raises(WarehouseError, match=r"published before.*rank.*run `rotoscale publish`"),
        read(tmp_path / "p") as connection,
    ):
        connection.execute("SELECT rank FROM decompositions")
    assert store.read("decompositions", "m")[0]["rank"] is None
    store.write("decompositions", "n", [{**ROW, "model_id": "n", "rank": 7}], **STAMP)
    publish(store, tmp_path / "p")
    with read(tmp_path / "p") as connection:
        found = connection.execute("SELECT rank FROM decompositions ORDER BY model_id").fetchall()
    assert found == [(None,), (7,)]


def test_a_published_file_of_a_newer_schema_is_not_touched(store: TableStore, tmp_path: Path) -> None:
    published = publish(store, tmp_path / "p")
    with duckdb.connect(str(published.path)) as connection:
        connection.execute("UPDATE published SET schema_version = 99")
    with pytest.raises(WarehouseError, match="update rotoscale"), read(tmp_path / "p"):
        pass


def test_reading_before_anything_was_published_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="rotoscale run"), read(tmp_path):
        pass


def test_what_is_written_while_a_file_is_published_counts_as_unpublished(store: TableStore, tmp_path: Path) -> None:
    store.write("decompositions", "m", [ROW], **STAMP)
    assert not is_published(store, tmp_path / "p")
    publish(store, tmp_path / "p")
    assert is_published(store, tmp_path / "p")
    publish(_WrittenMeanwhile(store.folder, store.contract), tmp_path / "p")
    with read(tmp_path / "p") as connection:
        assert connection.execute("SELECT count(*) FROM decompositions").fetchone() != (1,)
    assert not is_published(store, tmp_path / "p")


class _WrittenMeanwhile(TableStore):
    """A store to which another process adds a model whenever its files have been listed."""

    def files(self, table: str) -> list[Path]:
        found = super().files(table)
        name = f"late{len(super().files('decompositions'))}"
        TableStore(self.folder, self.contract).write("decompositions", name, [{**ROW, "model_id": name}], **STAMP)
        return found
