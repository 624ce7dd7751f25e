"""What a page found: the stored sentences that rest on its tables, and links to the rows behind them.

The sentences are those of the command line and the report, word for word. Which of them belong to a page follows from
the tables that it shows (`TABLES` of the page); those that rest on other tables as well come after those that do not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st

from dashboard import pages, parts, text
from dashboard.queries import claims as queries

MOST = 4
"""Sentences that stand open; the others are a click away."""

_DECIDED = ("supported", "refuted")


def about(
    url: str,
    model: str,
    base: str | None = None,
    *,
    most: int = MOST,
    where: str = "page",
    tables: Collection[str] = (),
) -> None:
    """Draw what was found about a model that the page at `url` is about; nothing where there are no sentences.

    `where` tells several such boxes of a page apart; `tables` are those that the sentences rest on, unless they are the
    page's own.
    """
    page = next(page for page in pages.discover() if page.url == url)
    found = chosen(queries.findings_about(parts.source(), model), tables or page.tables, url, base)
    _draw(found, url, model, base, most, where)


def chosen(
    found: Sequence[dict[str, Any]], tables: Collection[str], url: str, base: str | None
) -> list[dict[str, Any]]:
    """Those of the stored sentences that belong to a page, the ones about nothing else first."""

    def elsewhere(row: dict[str, Any]) -> int:
        return len({one["table"] for one in row["rests_on"]} - set(tables)) if row["page"] != url else 0

    def belongs(row: dict[str, Any]) -> bool:
        other = {one["where"].get("base_id", base) for one in row["rests_on"]} - {base, None}
        on = {one["table"] for one in row["rests_on"]} & set(tables)
        return row["page"] == url or (bool(on) and (base is None or not other))

    return sorted(filter(belongs, found), key=lambda row: (elsewhere(row), row.get("verdict") == "not tested"))


def of_families(families: Sequence[str], url: str) -> None:
    """Draw what was decided of the descendants of some families: the families' own verdicts, then one for each model.

    Every model has its turn before any has a second one.
    """
    found = [row for row in queries.sentences(parts.source()) if (row["family"] or "") in families]
    decided = [row for row in found if row["verdict"] in _DECIDED or not row["model_id"]]
    turns: dict[str, int] = {}
    ranked = []
    for row in decided:
        turn = turns[row["model_id"] or ""] = turns.get(row["model_id"] or "", -1) + 1
        ranked.append((turn, row | {"page": "claims", "rests_on": []}))
    _draw([row for _, row in sorted(ranked, key=lambda pair: pair[0])], url, None, None)


def _draw(
    found: Sequence[dict[str, Any]],
    url: str,
    model: str | None,
    base: str | None,
    most: int = MOST,
    where: str = "page",
) -> None:
    if not found:
        return
    with st.container(border=True, gap="xsmall", key=f"found_{where}"):
        st.markdown("\n".join(f"- {text.plain(row['sentence'])}" for row in found[:most]))
        if len(found) > most:
            with st.expander(f"{len(found) - most} more", key=f"more_found_{where}"):
                st.markdown("\n".join(f"- {text.plain(row['sentence'])}" for row in found[most:]))
        _links(found, url, model, base)


def _links(found: Sequence[dict[str, Any]], url: str, model: str | None, base: str | None) -> None:
    """Links to where the sentences' rows are: the verdicts on Claims, and every other page that shows their tables."""
    links: dict[str, tuple[pages.Page, dict[str, str]]] = {}
    there = {page.url: page for page in pages.discover()}
    for row in found[:MOST]:
        subject = row.get("model_id") or (f"family {row['family']}" if row.get("family") else "")
        if row.get("claim") and url != "claims":
            name = row["claim"] if model else f"{row['claim']} of {text.short(subject, 30)}"
            links[name] = (there["claims"], {"of": subject, "claim": row["claim"], "families": row["family"] or ""})
    tables = {one["table"] for row in found for one in row["rests_on"]}
    for page in there.values():
        if model and page.url != url and page.tables & tables:
            query = {"model": model} | ({"base": base} if base else {})
            links.setdefault(page.title, (page, query))
    if links:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("What they rest on:", width="content")
            for name, (page, query) in links.items():
                st.page_link(page.streamlit(), label=text.plain(name), query_params=query, width="content")
