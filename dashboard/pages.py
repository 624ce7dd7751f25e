"""The pages there are: every file of dashboard/views that says what it is called and how it is drawn.

A page is a module with TITLE, ICON (a Material symbol), ORDER (its place in the menu), URL (its address) and `show()`.
One with OPENS_MODEL = True takes the choices `family`, `model` and `base` from its address, so that lists of models
link to it. TABLES names the tables whose rows it shows: the stored sentences that rest on them open the page.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import views

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

_REQUIRED = {"TITLE": str, "ICON": str, "ORDER": int, "URL": str}


class PageError(Exception):
    """A file in dashboard/views that is not a page."""


@dataclass(frozen=True)
class Page:
    """One page of the dashboard."""

    title: str
    icon: str
    order: int
    url: str
    show: Callable[[], None]
    opens_model: bool = False
    tables: frozenset[str] = frozenset()

    def streamlit(self) -> StreamlitPage:
        """The page as Streamlit's menu and links take it; the first in order is the one that opens."""
        first = self.url == discover()[0].url
        url = f"first-{self.url}" if first else self.url  # Streamlit opens it at the root, and its own URL is free
        return st.Page(self.show, title=self.title, icon=self.icon, url_path=url, default=first)


def in_menu() -> list[StreamlitPage]:
    """What Streamlit's navigation takes: every page, and the first one once more, unseen, under its own address.

    Streamlit shows the page that opens at the root only and says "Page not found" to its address, which people send.
    """
    first = discover()[0]
    again = st.Page(first.show, title=first.title, icon=first.icon, url_path=first.url, visibility="hidden")
    return [*(page.streamlit() for page in discover()), again]


@cache
def discover() -> tuple[Page, ...]:
    """Every page, in the order of the menu.

    Raises PageError when a file lacks something a page needs, or two share an address.
    """
    names = [module.name for module in pkgutil.iter_modules(views.__path__)]
    pages = sorted((_page(f"{views.__name__}.{name}") for name in names), key=lambda page: (page.order, page.url))
    for page in pages:
        if sum(other.url == page.url for other in pages) > 1:
            raise PageError(f"two pages in dashboard/views have the URL {page.url!r}; give one another")
    return tuple(pages)


def _page(module_name: str) -> Page:
    module = importlib.import_module(module_name)
    for name, type_ in _REQUIRED.items():
        if not isinstance(getattr(module, name, None), type_):
            raise PageError(f"{module.__file__} is no page: it needs {name}, a {type_.__name__}")
    if not callable(getattr(module, "show", None)):
        raise PageError(f"{module.__file__} is no page: it needs a function show() that draws it")
    opens_model = bool(getattr(module, "OPENS_MODEL", False))
    tables = frozenset(getattr(module, "TABLES", ()))
    return Page(module.TITLE, module.ICON, module.ORDER, module.URL, module.show, opens_model, tables)
