"""New releases on the Hub, with the real client against a Hub on this machine that misbehaves on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest

from tests.resources.hub_server import GOOD_TOKEN, HubServer, Limit
from tests.resources.release_watching import Watcher, decided, words

CONFIG = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}


def model(content: bytes = b"weights", **config: object) -> dict[str, bytes]:
    return {"config.json": json.dumps({**CONFIG, **config}).encode(), "model.safetensors": content}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubServer, Watcher]]:
    """The server and a worker that all tests share; each has folders of its own."""
    with HubServer() as server:
        watcher = Watcher(server, tmp_path_factory.mktemp("watcher"), ROTOSCALE_HUB_PATIENCE="20")
        yield server, watcher
        watcher.stop()


@pytest.fixture
def server(running: tuple[HubServer, Watcher]) -> HubServer:
    running[0].clear()
    running[0].add("lab/base", model(b"base"))
    return running[0]


@pytest.fixture
def watcher(server: HubServer, running: tuple[HubServer, Watcher], tmp_path: Path) -> Watcher:
    watcher = running[1]
    watcher.data, watcher.families = tmp_path / "data", tmp_path / "families"
    return watcher


def test_what_passes_is_registered_at_its_commit_and_the_rest_is_recorded_with_its_reason(
    server: HubServer, watcher: Watcher
) -> None:
    watcher.family(
        "{hub: true, authors: [lab], min_downloads: 10, max_parameters: 1B, licences: [mit], skip_names: ['*-test']}"
    )
    good = {"downloads": 50, "tags": ("license:mit",), "parameters": (("BF16", 1000),)}
    commit = server.descend("lab/poet", "lab/base", model(b"poet"), **good)
    server.descend("lab/adapted", "lab/base", ADAPTER, "adapter", **{**good, "parameters": ()})
    server.descend("other/poet", "lab/base", model(b"1"), **good)
    server.descend("lab/a-test", "lab/base", model(b"2"), **good)
    server.descend("lab/unknown", "lab/base", model(b"3"), **{**good, "downloads": 9})
    server.descend("lab/large", "lab/base", model(b"4"), **{**good, "parameters": (("BF16", 2 * 10**9),)})
    server.descend("lab/closed", "lab/base", model(b"5"), **{**good, "tags": ("license:other",)})
    server.descend("lab/poet-gguf", "lab/base", {"poet.gguf": b"6"}, "quantized", **good)
    server.descend("lab/exl2", "lab/base", model(b"7", quantization_config={"quant_method": "exl2"}), **good)
    server.descend("lab/int8", "lab/base", model(b"8"), **{**good, "parameters": (("I8", 1000),)})
    server.descend("lab/pickled", "lab/base", {"config.json": b"{}", "pytorch_model.bin": b"9"}, **good)
    first = watcher.look()
    reasons = decided(first)
    assert {name for name, (word, _) in reasons.items() if word == "taken"} == {"lab/poet", "lab/adapted"}
    assert first["registered"] == {
        "lab--poet": f"lab/poet@{commit}",
        "lab--adapted": f"lab/adapted@{server.repositories['lab/adapted'].refs['main']}",
    }
    for name, said in {
        "other/poet": "account other",
        "lab/a-test": "name",
        "lab/unknown": "fewer than 10 downloads",
        "lab/large": "2,000,000,000 parameters",
        "lab/closed": "licence is other",
        "lab/poet-gguf": "Quantized (not named)",
        "lab/exl2": "exl2",
        "lab/int8": "packed as int8",
        "lab/pickled": "pickle",
    }.items():
        assert reasons[name][0] == "left"
        assert said in reasons[name][1]
    assert not any(name.endswith((".safetensors", ".bin")) for name in server.fetched())  # configs only
    again = watcher.look(hours=1)
    assert again["releases"] == [{**row, **PROVENANCE(again)} for row in first["releases"]]  # recorded once
    assert again["new"] == []
    (watcher.families / "tiny.yaml").write_text(
        (watcher.families / "tiny.yaml").read_text().replace("min_downloads: 10, ", "")
    )
    assert decided(watcher.look(hours=2))["lab/unknown"][0] == "taken"


ADAPTER = {"adapter_config.json": b'{"peft_type": "LORA", "r": 8}', "adapter_model.safetensors": b"adapter"}


def PROVENANCE(answer: dict) -> dict[str, object]:  # noqa: N802
    """What every writing stamps anew."""
    return {"materialized_at": answer["releases"][0]["materialized_at"]}


def test_duplicate_pages_and_ten_thousand_descendants_under_a_cap(server: HubServer, watcher: Watcher) -> None:
    """Every one is recorded once, and no more is asked for than the cap allows."""
    watcher.family("{hub: true, cap: 3, relations: [finetune]}")
    files = model(b"same")
    for i in range(10_000):
        day, second = divmod(i, 86_400 // 400)
        created = f"2026-{1 + day // 28 % 9:02}-{1 + day % 28:02}T{second // 60:02}:{second % 60:02}:00.000Z"
        own = {**files, "config.json": files["config.json"] + b" " * (i % 100) + b"\n" * (i // 100)}
        server.descend(f"lab/m{i:05}", "lab/base", own, created_at=created)
    server.repeats = 40
    found = watcher.look()
    assert len(found["releases"]) == 10_001
    assert sum(word == "taken" for word in words(found).values()) == 3
    assert sum("at most 3" in reason for _, reason in decided(found).values()) == 9_997
    newest = sorted(
        (row for row in found["releases"] if row["relation"] != "base"), key=lambda row: row["created_at"], reverse=True
    )
    assert {row["decision"] for row in newest[:3]} == {"taken"}
    assert len(server.requests) < 40
    assert found["seconds"] < 30
    server.requests.clear()
    later = watcher.look(hours=1)
    assert sum(word == "taken" for word in words(later).values()) == 6
    assert len(later["releases"]) == 10_001


def asked_for(server: HubServer, relation: str = "finetune") -> list[str]:
    """The cursors of the pages of a relation that were asked for, in order; empty of a first page."""
    pages = [parse_qs(query) for query in server.listings if f"base_model:{relation}:" in unquote(query)]
    return [page.get("cursor", [""])[0][:10] for page in pages]


def listed_two_by_two(server: HubServer, watcher: Watcher, count: int, fails_at: str) -> None:
    """Watch a base with so many descendants, one a day, in pages of two of which one answers 504."""
    watcher.family("{hub: true, relations: [finetune]}")
    server.page_size = 2
    for i in range(count):
        server.descend(f"lab/m{i}", "lab/base", model(bytes([i])), created_at=f"2026-11-0{9 - i}T00:00:00.000Z")
    server.limits[f"cursor={fails_at}"] = Limit(504)


def test_a_listing_that_breaks_off_is_kept_and_goes_on_there_after_what_is_new(
    server: HubServer, watcher: Watcher
) -> None:
    """Deep pages answer 504: the next poll asks for what is new and then for the page that failed, none in between."""
    listed_two_by_two(server, watcher, 8, fails_at="2026-11-06")
    first = watcher.look()
    assert set(words(first)) == {"lab/m0", "lab/m1", "lab/m2", "lab/m3"}
    poll = next(p for p in first["release_polls"] if p["relation"] == "finetune")
    assert "504" in poll["message"]
    assert "4 entries were kept; the next poll goes on from there" in poll["message"]
    assert (poll["full_at"], poll["succeeded_at"]) == (None, None)
    assert poll["full_since"].startswith("2026-11-20 12:00")
    assert poll["full_from"].startswith("2026-11-06")

    server.listings.clear()
    server.descend("lab/new", "lab/base", model(b"new"), created_at="2026-11-20T12:30:00.000Z")
    again = watcher.look(hours=1)  # the page fails once more
    assert set(words(again)) == {"lab/new", "lab/m0", "lab/m1", "lab/m2", "lab/m3"}
    assert set(asked_for(server)) == {"", "2026-11-06"}
    assert "504" in next(p for p in again["release_polls"] if p["relation"] == "finetune")["message"]

    server.limits.clear()
    server.listings.clear()
    second = watcher.look(hours=2)
    assert set(words(second)) == {"lab/new", *(f"lab/m{i}" for i in range(8))}
    assert asked_for(server) == ["", "2026-11-06", "2026-11-04"]
    poll = next(p for p in second["release_polls"] if p["relation"] == "finetune")
    assert [poll[name] for name in ("message", "full_from", "full_since", "full_cursor")] == ["", None, None, None]
    assert poll["full_at"].startswith("2026-11-20 12:00")  # when the listing began

    server.listings.clear()
    watcher.look(hours=3)
    assert asked_for(server) == [""]  # an ordinary poll again


def test_a_cursor_that_the_hub_does_not_know_any_more_means_to_list_from_the_newest(
    server: HubServer, watcher: Watcher
) -> None:
    listed_two_by_two(server, watcher, 4, fails_at="2026-11-08")
    assert set(words(watcher.look())) == {"lab/m0", "lab/m1"}
    server.limits = {"cursor=2026-11-08": Limit(400, times=1)}
    found = watcher.look(hours=1)
    assert set(words(found)) == {f"lab/m{i}" for i in range(4)}
    poll = next(p for p in found["release_polls"] if p["relation"] == "finetune")
    assert poll["message"] == ""
    assert poll["full_at"].startswith("2026-11-20 13:00")


def test_an_ordinary_poll_goes_back_48_hours_and_once_a_week_everything_is_listed(
    server: HubServer, watcher: Watcher
) -> None:
    watcher.family("{hub: true, relations: [finetune]}")
    server.page_size = 1
    server.descend("lab/old", "lab/base", model(b"0"), created_at="2026-01-01T00:00:00.000Z")
    server.descend("lab/older", "lab/base", model(b"1"), created_at="2025-01-01T00:00:00.000Z")
    assert set(words(watcher.look())) == {"lab/old", "lab/older"}
    # Made public later: as old as ever, and not modified since.
    long_ago = {"created_at": "2024-06-01T00:00:00.000Z", "modified_at": "2024-06-01T00:00:00.000Z"}
    server.descend("lab/public-now", "lab/base", model(b"2"), **long_ago)
    # Tagged as a descendant 30 hours after it was made, before the last poll.
    server.descend("lab/late", "lab/base", model(b"3"), created_at="2026-11-19T06:00:00.000Z")
    server.requests.clear()
    found = watcher.look(hours=1)
    assert set(words(found)) == {"lab/old", "lab/older", "lab/late"}
    assert set(words(watcher.look(hours=24 * 7 + 1))) == {"lab/old", "lab/older", "lab/late", "lab/public-now"}


@pytest.mark.parametrize("header", ["seconds", "date", "window"])
def test_a_wait_beyond_our_patience_ends_the_asking_and_is_respected(
    server: HubServer, watcher: Watcher, header: str
) -> None:
    """Nothing is slept through, nothing is asked before the time, and then all goes on."""
    watcher.family("{hub: true}")
    server.descend("lab/poet", "lab/base", model(b"poet"))
    wait = {
        "seconds": {"Retry-After": "86400"},
        "date": {"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"},
        "window": {"RateLimit": '"api";r=0;t=7200', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'},
    }[header]
    server.limits["/api/models"] = Limit(429, wait)
    limited = watcher.look()
    assert limited["seconds"] < 5
    assert len(server.requests) == 1
    assert limited["until"] is not None
    (poll,) = [p for p in limited["release_polls"] if p["message"]]
    assert "asks to wait until" in poll["message"]
    assert poll["retry_at"] == limited["until"]
    server.limits.clear()
    assert words(watcher.look(hours=1)) == {}
    assert len(server.requests) == 1
    assert words(watcher.look(hours=24 * 365 * 100)) == {"lab/poet": "taken"}


def test_a_short_wait_is_slept_through(server: HubServer, watcher: Watcher) -> None:
    watcher.family("{hub: true}")
    server.descend("lab/poet", "lab/base", model(b"poet"))
    server.limits["/api/models"] = Limit(429, {"Retry-After": "10"}, times=2)
    assert words(watcher.look()) == {"lab/poet": "taken"}


def test_one_model_that_has_to_wait_does_not_hold_up_the_others(server: HubServer, watcher: Watcher) -> None:
    watcher.family("{hub: true}")
    for i, name in enumerate(("busy", "broken", "gone", "fine")):
        server.descend(f"lab/{name}", "lab/base", model(name.encode()), created_at=f"2026-11-0{9 - i}T00:00:00.000Z")
    server.limits["/lab/busy/resolve"] = Limit(429, {"Retry-After": "90000"})
    server.limits["/lab/broken/resolve"] = Limit(500)
    del server.repositories["lab/gone"].files[server.repositories["lab/gone"].refs["main"]]
    found = watcher.look()
    reasons = decided(found)
    assert {name: word for name, (word, _) in reasons.items()} == {
        "lab/busy": "waiting",
        "lab/broken": "waiting",
        "lab/gone": "left",
        "lab/fine": "taken",
    }
    assert "wait until" in reasons["lab/busy"][1]
    assert "Deleted" in reasons["lab/gone"][1]
    assert next(row for row in found["releases"] if row["model"] == "lab/busy")["retry_at"] is not None
    server.limits.clear()
    later = watcher.look(hours=2)
    assert words(later)["lab/busy"] == "waiting"  # not before its time
    assert words(later)["lab/broken"] == "taken"
    assert words(watcher.look(hours=24 * 3000))["lab/busy"] == "taken"


def test_a_deleted_revision_gives_way_to_the_newest(server: HubServer, watcher: Watcher) -> None:
    """The history of a repository was squashed between the listing and the look."""
    watcher.family("{hub: true}")
    old = server.descend("lab/poet", "lab/base", model(b"poet"))
    server.limits[f"/revision/{old}"] = Limit(404, {"X-Error-Code": "RevisionNotFound"})
    first = watcher.look()
    assert words(first) == {"lab/poet": "waiting"}
    new = server.descend("lab/poet", "lab/base", model(b"poet, squashed"))
    second = watcher.look(hours=1)
    assert second["registered"] == {"lab--poet": f"lab/poet@{new}"}


def test_a_gated_model_says_what_to_do_and_is_taken_once_its_terms_are_accepted(
    server: HubServer, watcher: Watcher, tmp_path: Path
) -> None:
    watcher.family("{hub: true}")
    server.descend("lab/gated", "lab/base", model(b"gated"))
    server.repositories["lab/gated"].gated = True
    word, reason = decided(watcher.look())["lab/gated"]
    assert word == "gated"
    assert "HF_TOKEN" in reason
    assert "https://huggingface.co/lab/gated" in reason
    secret = Watcher(server, tmp_path / "other", HF_TOKEN=GOOD_TOKEN)
    try:
        secret.data, secret.families = watcher.data, watcher.families
        assert words(secret.look(hours=1)) == {"lab/gated": "gated"}  # asked again once a day
        taken = secret.look(hours=25)
        assert words(taken) == {"lab/gated": "taken"}
        assert f"Bearer {GOOD_TOKEN}" in server.tokens
        server.limits["/api/models"] = Limit(500)
        failed = secret.look(hours=26)
        assert any("500" in poll["message"] for poll in failed["release_polls"])
        assert GOOD_TOKEN not in json.dumps([taken, failed])
    finally:
        secret.stop()
    written = [file for file in (*watcher.data.rglob("*"), secret.log) if file.is_file()]
    assert written
    assert not [file for file in written if GOOD_TOKEN.encode() in file.read_bytes()]


def test_a_card_edited_later_is_no_new_revision_and_other_weights_are(server: HubServer, watcher: Watcher) -> None:
    watcher.family("{hub: true}")
    first = server.descend("lab/poet", "lab/base", model(b"one"))
    watcher.look()
    edited = server.descend("lab/poet", "lab/base", {**model(b"one"), "README.md": b"new words"})
    modified = {"modified_at": "2026-11-20T13:00:00.000Z"}
    server.descend("lab/poet", "lab/base", {**model(b"one"), "README.md": b"new words"}, **modified)
    same = watcher.look(hours=2)
    (row,) = [row for row in same["releases"] if row["model"] == "lab/poet"]
    assert (row["revision"], row["latest"], row["decision"]) == (first, edited, "taken")
    second = server.descend("lab/poet", "lab/base", model(b"two"), modified_at="2026-11-20T15:00:00.000Z")
    noticed = watcher.look(hours=4)
    rows = {row["revision"]: row for row in noticed["releases"] if row["model"] == "lab/poet"}
    assert (rows[second]["kind"], rows[second]["decision"]) == ("revision", "left")
    assert "follow: true" in rows[second]["reason"]
    assert len(watcher.look(hours=5)["releases"]) == len(noticed["releases"])
    watcher.family("{hub: true, follow: true}")
    third = server.descend("lab/poet", "lab/base", model(b"three"), modified_at="2026-11-20T18:00:00.000Z")
    followed = watcher.look(hours=7)
    assert f"lab/poet@{third}" in followed["registered"].values()
    assert len(followed["registered"]) == 2
    assert followed["registered"]["lab--poet"] == f"lab/poet@{first}"


def test_a_further_commit_of_a_base_registered_by_hand_is_noticed(server: HubServer, watcher: Watcher) -> None:
    watcher.family("{hub: true, follow: true}")
    watcher.look()
    second = server.add("lab/base", model(b"base, again"))
    found = watcher.look(hours=1)
    assert list(found["registered"].values()) == [f"lab/base@{second}"]


def test_a_renamed_model_is_not_taken_twice(server: HubServer, watcher: Watcher) -> None:
    watcher.family("{hub: true}")
    server.descend("lab/poet", "lab/base", model(b"poet"))
    assert words(watcher.look()) == {"lab/poet": "taken"}
    server.repositories["lab/bard"] = server.repositories.pop("lab/poet")
    server.renamed["lab/poet"] = "lab/bard"
    server.descend("lab/bard", "lab/base", model(b"poet"), created_at="2026-11-20T12:30:00.000Z")
    word, reason = decided(watcher.look(hours=1))["lab/bard"]
    assert word == "left"
    assert "lab/poet, registered as lab--poet" in reason


def test_a_renamed_base_is_said(server: HubServer, watcher: Watcher) -> None:
    watcher.family("{hub: true}")
    server.repositories["lab/foundation"] = server.repositories.pop("lab/base")
    server.renamed["lab/base"] = "lab/foundation"
    found = watcher.look()
    (poll,) = [poll for poll in found["release_polls"] if poll["relation"] == "base"]
    assert "lab/foundation" in poll["message"]


def test_a_hub_that_is_not_there_costs_no_row(server: HubServer, watcher: Watcher) -> None:
    watcher.family("{hub: true}")
    server.descend("lab/poet", "lab/base", model(b"poet"))
    before = watcher.look()
    server.down = True
    found = watcher.look(hours=1)
    assert words(found) == words(before)
    assert any(poll["message"] for poll in found["release_polls"])
    server.down = False
    assert not any(poll["message"] for poll in watcher.look(hours=3)["release_polls"])


def test_a_killed_pass_registers_nothing_twice(server: HubServer, watcher: Watcher) -> None:
    """The rows are lost, as if it was killed before they were written: the file that was registered is found again."""
    watcher.family("{hub: true}")
    server.descend("lab/poet", "lab/base", model(b"poet"))
    first = watcher.look()
    for file in (watcher.data / "tables").rglob("*.parquet"):
        file.unlink()
    assert watcher.look(hours=1)["registered"] == first["registered"]
