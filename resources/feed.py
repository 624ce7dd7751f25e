"""New results as feeds that readers subscribe to: JSON Feed 1.1 and RSS 2.0, made from the published file.

One item for each model and what its comparison was made from: results that are made again by other code are news.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from resources.addresses import address
from resources.atomic import write_text
from resources.warehouse import read

JSON_FEED, RSS = "feed.json", "feed.xml"
TITLE = "Rotoscale: new results"
_TEXT = "What post-training did to the models that were analysed last."
ITEMS = 50
"""Items in a feed, the newest."""


@dataclass(frozen=True)
class Item:
    """One model's results: `identity` is the same as long as the results are, `day` is when they were made (UTC)."""

    identity: str
    model: str
    base: str
    family: str
    method: str
    day: datetime
    sentences: tuple[str, ...]

    @property
    def title(self) -> str:
        """What a reader lists."""
        return f"{self.model} against {self.base}"

    def address(self, dashboard: str) -> str:
        """Where the dashboard shows the model."""
        return f"{dashboard}/rotation?model={quote(self.model, safe='')}"


def write_feeds(published: Path) -> None:
    """Write both feeds beside the published files."""
    items, dashboard = newest(published), address(published.parent, "dashboard")
    write_text(published / JSON_FEED, _json_feed(items, dashboard))
    write_text(published / RSS, _rss(items, dashboard))


def newest(published: Path, limit: int = ITEMS) -> list[Item]:
    """The models that were compared last, newest first, with the sentences that every surface shows."""
    with read(published) as connection:
        rows = connection.execute(
            """
            SELECT model_id, base_id, any_value(family), any_value(method), any_value(content_hash),
                   max(s.materialized_at) AS day, any_value(s.code_version)
            FROM models JOIN scale_statistics s USING (model_id, base_id)
            WHERE status = 'ready' AND model_id <> base_id
            GROUP BY model_id, base_id ORDER BY day DESC, model_id LIMIT ?
            """,
            [limit],
        ).fetchall()
        sentences: dict[str, list[str]] = {}
        for model, sentence in connection.execute(
            "SELECT model_id, sentence FROM findings WHERE page = 'pair' ORDER BY model_id, rank"
        ).fetchall():
            sentences.setdefault(model, []).append(sentence)
    return [
        Item(
            f"urn:rotoscale:{quote(model, safe='')}:{(content or '')[:16]}:{quote(code, safe='')}",
            *(model, base, family or "", method or "", day),
            sentences=tuple(sentences.get(model, ())),
        )
        for model, base, family, method, content, day, code in rows
    ]


def _json_feed(items: Sequence[Item], dashboard: str) -> str:
    listed = [
        {
            "id": item.identity,
            "url": item.address(dashboard),
            "title": item.title,
            "content_text": "\n".join(item.sentences) or "Compared; the sentences on it are not made yet.",
            "date_published": item.day.isoformat(),
            "tags": [tag for tag in (item.family, item.method) if tag],
        }
        for item in items
    ]
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": TITLE,
        "description": _TEXT,
        "home_page_url": dashboard,
        "items": listed,
    }
    return json.dumps(feed, indent=1)


def _rss(items: Sequence[Item], dashboard: str) -> str:
    rss = ElementTree.Element("rss", version="2.0")
    channel = ElementTree.SubElement(rss, "channel")
    for name, value in (("title", TITLE), ("link", dashboard), ("description", _TEXT)):
        ElementTree.SubElement(channel, name).text = value
    for item in items:
        entry = ElementTree.SubElement(channel, "item")
        ElementTree.SubElement(entry, "title").text = _characters(item.title)
        ElementTree.SubElement(entry, "link").text = item.address(dashboard)
        ElementTree.SubElement(entry, "guid", isPermaLink="false").text = item.identity
        ElementTree.SubElement(entry, "pubDate").text = format_datetime(item.day)
        ElementTree.SubElement(entry, "description").text = _characters("\n".join(item.sentences))
        for tag in filter(None, (item.family, item.method)):
            ElementTree.SubElement(entry, "category").text = _characters(tag)
    ElementTree.indent(rss)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(rss, encoding="unicode") + "\n"


def _characters(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(character for character in text if character in "\n\t" or character >= " ")
