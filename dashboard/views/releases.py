"""Releases: what was found and why it was taken or left, what became of it, what waits and what comes next."""

from __future__ import annotations

import datetime

import pandas as pd
import streamlit as st

from dashboard import parts, state, text
from dashboard.parts import meaning
from dashboard.queries import registry
from dashboard.queries import releases as queries
from resources.warehouse.lateness import late_polls, late_releases

TITLE = "Releases"
ICON = ":material/new_releases:"
ORDER = 80
URL = "releases"

DAYS = 7
"""What is younger is new."""

NEXT = 20
"""Models of the queue that are shown before the table is scrolled."""


def show() -> None:
    """Draw the page."""
    st.header("Releases", anchor=False)
    found, polls = queries.releases(parts.source()), queries.polls(parts.source())
    waiting = queries.backlog(parts.source())
    if found.empty and polls.empty:
        parts.nothing(
            "No family watches for releases yet",
            "Give a family file a `watch:` block, and new descendants on the Hub or in a folder are found here.",
        )
    else:
        _numbers(found, waiting)
        _late(found, polls)
    _news()
    _queue(waiting)
    if not found.empty:
        _found(found)
    if not polls.empty:
        _watched(polls)
    st.caption(
        "New results are in `feed.json` (JSON Feed) and `feed.xml` (RSS) beside the published file, for feed readers."
    )


def _numbers(found: pd.DataFrame, waiting: pd.DataFrame) -> None:
    taken = found[found["decision"] == "taken"]
    hours = taken["hours"].dropna() if "hours" in taken else pd.Series(dtype=float)
    failed = int(taken["state"].eq("quarantined").sum()) if "state" in taken else 0
    parts.metrics(
        [
            ("Found", str(len(found)), "Releases that were seen for any watched family, whatever was decided."),
            ("Taken", str(len(taken)), meaning("decision", "releases")),
            ("With results", str(len(hours)), meaning("results_at", "releases")),
            ("Quarantined", str(failed), meaning("state", "releases")),
            ("Hours to results", text.number(hours.median(), 1), "Median from being found to stored results."),
            ("Waiting", str(len(waiting)), "Models that are not up to date, releases or not."),
        ]
    )


def _late(found: pd.DataFrame, polls: pd.DataFrame) -> None:
    """What is late now, by the rule of the asset checks."""
    now = datetime.datetime.now(datetime.UTC)
    late = [*late_polls(_plain(polls), now), *late_releases(_plain(found), now)]
    if not late:
        return
    with st.container(border=True):
        st.markdown(f":orange-badge[late] {len(late)} of the watching or of the releases took longer than they should.")
        st.code("\n".join(text.short(sentence, 300) for sentence in late[:10]), language=None, wrap_lines=True)
        if len(late) > 10:
            st.caption(f"and {len(late) - 10} more")


def _plain(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows with None for what is missing, as they were stored."""
    return [
        {str(name): None if value is pd.NaT or value != value else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _news() -> None:
    """Which models have results of the last days, whether they are watched for or not, newest first."""
    made = registry.materialized(parts.source())
    made = made[made["model_id"].fillna("") != ""]  # verdicts on a whole family are no model's
    st.subheader(f"New in the last {DAYS} days", anchor=False)
    if made.empty:
        st.markdown("No results yet.")
        return
    newest = made.groupby("model_id")["materialized_at"].max().sort_values(ascending=False)
    new = newest[newest > datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=DAYS)]
    if new.empty:
        st.markdown(f"Nothing: the newest result is of {text.code(newest.index[0])}, {parts.moment(newest.iloc[0])}.")
        return
    listed = [f"{text.code(model)} ({parts.moment(at)})" for model, at in new.head(NEXT).items()]
    more = f" and {len(new) - NEXT} more" if len(new) > NEXT else ""
    st.markdown(f"Results of {len(new)} models were made, or made again: {', '.join(listed)}{more}.")


def _queue(waiting: pd.DataFrame) -> None:
    st.subheader("What comes next", anchor=False)
    turn = waiting[waiting["has_turn"]] if len(waiting) else waiting
    left_out = waiting[~waiting["has_turn"]] if len(waiting) else waiting
    if len(waiting) == 0:
        st.markdown("Nothing waits yet: every model of an automatic family is up to date, as of this publication.")
    if len(turn):
        parts.table(
            turn, "backlog", of="backlog", height=35 * (min(len(turn), NEXT) + 1) + 3,
            order=["place", "model", "family", "released_at", "why", "to_make", "tries", "last_failure"],
            columns={
                "released_at": _time("Released (UTC)", "released_at", "backlog"),
                "to_make": st.column_config.TextColumn("To make", help=meaning("assets", "backlog")),
                "tries": st.column_config.NumberColumn("Tries in vain", help=meaning("tries", "backlog")),
            },
        )  # fmt: skip
    if len(left_out):
        st.markdown(
            f":red-badge[left out] {len(left_out)} models are left out for now; the others go on.",
            help=meaning("held", "backlog"),
        )
        parts.table(
            left_out, "left-out", of="backlog", order=["model", "family", "tries", "held_reason", "last_failure"]
        )


def _found(found: pd.DataFrame) -> None:
    st.subheader("What was found", anchor=False)
    one, two, three = st.columns([3, 2, 2])
    families = list(dict.fromkeys(found["family"].fillna("")))
    picked = state.several("Families", families, "only", placeholder="all", names=text.short, where=one)
    decisions = list(dict.fromkeys(found["decision"].fillna("")))
    decided = state.several("Decisions", decisions, "decided", placeholder="all", where=two)
    states = sorted(found["state"].dropna().unique())
    became = state.several("States", states, "became", placeholder="all", where=three)
    rows = found
    for column, wanted in (("family", picked), ("decision", decided), ("state", became)):
        rows = rows[rows[column].fillna("").isin(wanted)] if wanted else rows
    parts.table(
        rows, "releases", of="releases",
        order=["model", "family", "relation", "decision", "reason", "state", "state_reason", "found_at", "results_at",
               "hours", "model_id", "revision"],
        columns={
            "model": st.column_config.TextColumn("Release", pinned=True, help=meaning("model", "releases")),
            "found_at": _time("Found (UTC)", "found_at", "releases"),
            "results_at": _time("Results (UTC)", "results_at", "releases"),
            "hours": st.column_config.NumberColumn(
                "Hours to results", format="%.1f", help="From being found to stored results."
            ),
        },
    )  # fmt: skip


def _watched(polls: pd.DataFrame) -> None:
    st.subheader("What is watched", anchor=False)
    parts.table(
        polls, "polls", of="release_polls",
        order=["family", "watched", "relation", "polled_at", "succeeded_at", "full_at", "listed", "message",
               "retry_at"],
        columns={
            "polled_at": _time("Asked (UTC)", "polled_at", "release_polls"),
            "succeeded_at": _time("Answered (UTC)", "succeeded_at", "release_polls"),
            "full_at": _time("Listed to its end (UTC)", "full_at", "release_polls"),
            "retry_at": _time("Again from (UTC)", "retry_at", "release_polls"),
        },
    )  # fmt: skip


def _time(title: str, column: str, table: str) -> object:
    return st.column_config.DatetimeColumn(title, format="YYYY-MM-DD HH:mm", help=meaning(column, table))
