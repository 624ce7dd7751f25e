"""Filters that live in the address of the page, so that a view can be sent to somebody.

The address is what counts: each widget is set from it before it is drawn, and a change is written to it first.
Whatever stands there is checked against the choices that exist; what does not exist is named and ignored. What says
nothing but the default is left out, except the choices in ALWAYS, whose defaults depend on what is published. Walking
to another page, where Streamlit clears the address, takes the choices along. What the page shown does not ask for is
taken out of the address.

Every change of the address is a step of the browser's back button. So all that one choice brings with it (another
model has another base) waits in the session until `settle`, and reaches the address at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ParamSpec

import streamlit as st

_KEPT = "kept_choices"
_UNKNOWN = "unknown_choices"
_CHANGED, _IS_NEWS = "choice_was_changed", "unknown_is_news"
_PAGE, _ARRIVED = "page_shown", "arrived_at_page"
_WAITING, _WHOLE = "waiting_for_the_address", "whole_page_is_drawn"
_ASKED = "choices_that_the_page_asks_for"

Arguments = ParamSpec("Arguments")

ALWAYS = frozenset({"families", "family", "model", "base", "layer", "matrix", "expert", "left", "right"})


def begin(page: str) -> None:
    """Start drawing a page: what the address leaves out comes from the page before, if this is another one."""
    st.session_state[_UNKNOWN] = []
    st.session_state[_IS_NEWS] = not st.session_state.pop(_CHANGED, False)
    st.session_state.setdefault(_KEPT, {})
    st.session_state[_ARRIVED] = st.session_state.get(_PAGE) not in (None, page)
    if st.session_state[_ARRIVED]:  # the page before may have been left before its choices were settled
        st.session_state[_WAITING] = {}
    st.session_state[_PAGE] = page
    st.session_state[_WHOLE] = True
    st.session_state[_ASKED] = set()


def unknown() -> list[tuple[str, str]]:
    """Choices that the address names and that do not exist: (parameter, value).

    None right after a choice was made on the page: another family makes the model that was shown unknown, and so be it.
    """
    return list(dict.fromkeys(st.session_state.get(_UNKNOWN, []))) if st.session_state.get(_IS_NEWS) else []


def put(**values: Any) -> None:
    """Write choices to the address, as if their widgets had been used."""
    st.session_state[_CHANGED] = True
    for key, value in values.items():
        text = _text(value)
        st.session_state.setdefault(_KEPT, {})[key] = text
        _waiting()[key] = [text]


def named(key: str) -> list[str] | None:
    """What the address says of a choice, or will say once it is settled; None where it says nothing."""
    st.session_state.setdefault(_ASKED, set()).add(key)
    if key in _waiting():
        return _waiting()[key]
    return st.query_params.get_all(key) if key in st.query_params else None


def settle() -> None:
    """Bring the address in line with the choices: one step for the back button, however many of them changed.

    After a walk to another page the browser is told in any case: the page before may have been at work still when it
    was left, and its choices then reached the browser after the walk.
    """
    changed, whole = _waiting(), st.session_state.get(_WHOLE)
    there = {key: st.query_params.get_all(key) for key in st.query_params}
    wanted = {key: value for key, value in (there | changed).items() if value is not None}
    if whole:
        wanted = {key: value for key, value in wanted.items() if key in st.session_state[_ASKED]}
    st.session_state[_WAITING] = {}
    st.session_state[_WHOLE] = False
    if wanted != there or (whole and st.session_state[_ARRIVED]):
        st.query_params.from_dict(wanted)


def fragment(draw: Callable[Arguments, None], key: str | None = None) -> Callable[Arguments, None]:
    """A part of a page that is drawn again without the rest; its choices are settled when it alone was drawn."""

    @functools.wraps(draw)
    def part(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        draw(*args, **options)
        if not st.session_state.get(_WHOLE):
            settle()

    return st.fragment(part, key=key)


def chosen(key: str, options: Sequence[Any], default: Any) -> Any:
    """The option that the address names, else the one kept from another page, else the default."""
    by_text = {_text(option): option for option in options}
    written = named(key)
    asked = written[-1] if written else None
    if asked is not None and asked not in by_text:
        st.session_state.setdefault(_UNKNOWN, []).append((key, asked))
        asked = None
    kept = _kept(key)
    text = asked if asked is not None else kept if kept in by_text else _text(default)
    _write(key, text, _text(default))
    return by_text.get(text, default)


def select(
    title: str,
    options: Sequence[Any],
    key: str,
    *,
    default: Any = None,
    names: Callable[[Any], str] = str,
    help: str | None = None,
    where: Any = st,
    then: Callable[[], None] | None = None,
) -> Any:
    """A selection box; None when there is nothing to select from. `then` is called after a change is in the address."""
    options = list(options)
    if not options:
        return None
    widget = f"choice_{key}"
    st.session_state[widget] = chosen(key, options, options[0] if default is None else default)
    return where.selectbox(
        title, options, key=widget, format_func=names, help=help, on_change=_changed, args=(key, widget, then)
    )


def segments(
    title: str,
    options: Sequence[Any],
    key: str,
    *,
    default: Any = None,
    names: Callable[[Any], str] = str,
    help: str | None = None,
    where: Any = st,
) -> Any:
    """A row of buttons of which one is pressed. Only for fixed words: buttons obey markup, names must not get here."""
    options = list(options)
    widget = f"choice_{key}"
    st.session_state[widget] = chosen(key, options, options[0] if default is None else default)
    picked = where.segmented_control(
        title, options, key=widget, format_func=names, help=help, on_change=_changed, args=(key, widget)
    )
    return options[0] if picked is None else picked


def several(
    title: str,
    options: Sequence[str],
    key: str,
    *,
    default: Sequence[str] = (),
    names: Callable[[Any], str] = str,
    help: str | None = None,
    placeholder: str | None = None,
    where: Any = st,
) -> list[str]:
    """A box to select several from; the address repeats the parameter. An emptied box reads `key=` and stays so."""
    options = list(options)
    widget = f"choice_{key}"
    asked = named(key)
    if asked is not None:
        there = [n for n in asked if n]
        missing = [n for n in there if n not in options]
        st.session_state.setdefault(_UNKNOWN, []).extend((key, n) for n in missing)
        current = [n for n in there if n in options]
        if missing and not current:
            current = list(default)
    else:
        kept = _kept(key)
        current = [n for n in (default if kept is None else kept) if n in options]
    st.session_state[widget] = current
    _write(key, current, list(default))
    return list(
        where.multiselect(
            title, options, key=widget, format_func=names, help=help, placeholder=placeholder,
            on_change=_changed, args=(key, widget),
        )
    )  # fmt: skip


def switch(title: str, key: str, *, default: bool = False, help: str | None = None, where: Any = st) -> bool:
    """An on/off choice."""
    widget = f"choice_{key}"
    st.session_state[widget] = chosen(key, [False, True], default)
    return bool(where.toggle(title, key=widget, help=help, on_change=_changed, args=(key, widget)))


def _changed(key: str, widget: str, then: Callable[[], None] | None = None) -> None:
    st.session_state[_CHANGED] = True
    value = st.session_state[widget]
    if value is None:  # a pressed segment was pressed again: the choice falls back to the default
        _waiting()[key] = None
    else:
        _write(key, [str(v) for v in value] if isinstance(value, list) else _text(value))
    if then:
        then()


def _kept(key: str) -> Any:
    return st.session_state.get(_KEPT, {}).get(key) if st.session_state.get(_ARRIVED) else None


def _write(key: str, value: str | list[str], default: str | list[str] | None = None) -> None:
    """Keep a choice and bring the address in line with it; one that equals its default is taken out."""
    st.session_state.setdefault(_KEPT, {})[key] = value
    if value == default and key not in ALWAYS:
        _waiting()[key] = None
    else:
        _waiting()[key] = (value or [""]) if isinstance(value, list) else [value]


def _waiting() -> dict[str, list[str] | None]:
    """Changes that have not reached the address yet; None takes a choice out of it."""
    waiting: dict[str, list[str] | None] = st.session_state.setdefault(_WAITING, {})
    return waiting


def _text(value: Hashable) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
