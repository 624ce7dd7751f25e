"""The feeds: what is new, newest first, in two formats that readers take, whatever the names."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from resources import addresses
from resources.feed import JSON_FEED, RSS, newest, write_feeds
from tests import synthetic
from tests.synthetic import open_store, publish

HOSTILE = '<script>&"\x07 ]]> name'


@pytest.fixture
def published(tmp_path: Path) -> Path:
    models = [
        synthetic.Model("b", "f", "base", "b", "base"),
        synthetic.Model("m", "f", "math", "b"),
        synthetic.Model(HOSTILE, "f", "sft", "b"),
        synthetic.Model("unmeasured", "f", "rl", "b", measured=False),
    ]
    synthetic.write(tmp_path, models, synthetic.Shape(layers=2))
    store = open_store(tmp_path)
    store.write(
        "findings",
        "0001",
        [
            {"family": "f", "model_id": "m", "page": "pair", "rank": 1, "sentence": "Second.", "rests_on": []},
            {"family": "f", "model_id": "m", "page": "pair", "rank": 0, "sentence": "First.", "rests_on": []},
            {"family": "f", "model_id": "m", "page": "claims", "rank": 0, "sentence": "A verdict.", "rests_on": []},
        ],
        run_id="r",
        code_version="1",
    )
    rows = store.read("scale_statistics", "0001")  # written again, and so the newest
    store.write("scale_statistics", "0001", rows, run_id="again", code_version="pair-9")
    publish(store, tmp_path / "published")
    write_feeds(tmp_path / "published")
    return tmp_path / "published"


def test_both_feeds_have_what_was_compared_newest_first(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = json.loads((published / JSON_FEED).read_text())
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert [item["title"] for item in feed["items"]] == ["m against b", f"{HOSTILE} against b"]
    assert feed["items"][0]["content_text"].endswith("First.\nSecond.")
    assert "A verdict." not in feed["items"][0]["content_text"]
    assert feed["items"][0]["tags"] == ["f", "math"]
    channel = ElementTree.fromstring((published / RSS).read_text()).find("channel")
    assert channel is not None
    entries = channel.findall("item")
    assert [entry.findtext("guid") for entry in entries] == [item["id"] for item in feed["items"]]
    assert entries[1].findtext("title") == HOSTILE.replace("\x07", "") + " against b"
    days = [parsedate_to_datetime(str(entry.findtext("pubDate"))) for entry in entries]
    assert days == sorted(days, reverse=True)


def test_items_lead_to_where_the_dashboard_answers(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the address where it was started last, or the one that the environment says."""

    def leads_to() -> str:
        write_feeds(published)
        return str(json.loads((published / JSON_FEED).read_text())["items"][0]["url"])

    monkeypatch.delenv("ROTOSCALE_DASHBOARD_URL", raising=False)
    addresses.note(published.parent, dashboard="http://127.0.0.1:8600")
    assert leads_to() == "http://127.0.0.1:8600/rotation?model=m"
    monkeypatch.setenv("ROTOSCALE_DASHBOARD_URL", "https://numbers.example/")
    assert leads_to() == "https://numbers.example/rotation?model=m"


def test_an_item_stays_itself_until_the_results_are_other_ones(published: Path) -> None:
    before = {item.model: item.identity for item in newest(published)}
    store = open_store(published.parent)
    rows = store.read("scale_statistics", "0001")
    store.write("scale_statistics", "0001", rows, run_id="again", code_version="pair-9")
    publish(store, published)
    assert {item.model: item.identity for item in newest(published)} == before
    store.write("scale_statistics", "0001", rows, run_id="again", code_version="pair-10")
    publish(store, published)
    after = {item.model: item.identity for item in newest(published)}
    assert {model for model in after if after[model] != before[model]} == {"m"}
    assert len(newest(published, limit=1)) == 1
