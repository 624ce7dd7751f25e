"""Entry point: the pages, and what surrounds every one of them.

Start it through `rotoscale dashboard` or `make ui`. Streamlit puts this file's folder on the path, not the project,
hence the first lines. The published file is looked up on every run and, while a page is just being looked at, every
few seconds: a newer one replaces what is shown without a restart.
"""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path

if str(Path(__file__).resolve().parent.parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import streamlit as st

from dashboard import pages, parts, state, steps, style, text
from dashboard.source import latest
from resources.settings import SettingsError, load_settings
from resources.warehouse import WarehouseError

# Seconds between two looks for a newer published file.
LOOK_EVERY = 5.0


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Rotoscale", page_icon=style.ICON, layout="wide")
    st.html(style.CSS)
    with st.container(key="steps"):
        st.html(steps.SCRIPT, unsafe_allow_javascript=True)
    page = st.navigation(pages.in_menu(), position="top")
    state.begin(page.url_path or pages.discover()[0].url)
    try:
        folder = load_settings().published
        path = latest(folder)
        if path is not None:
            parts.open_source(str(path))
    except (WarehouseError, SettingsError) as error:
        parts.broken(str(error))
        return
    st.session_state["published_path"] = str(path) if path else None
    st.session_state["pair_shown"] = None
    _watch(str(folder), str(path) if path else None)
    if path is None:
        parts.welcome()
        return
    notice = st.container()
    try:
        page.run()
    except WarehouseError as error:  # the file is from before something that this page asks for
        parts.broken(str(error))
    for parameter, value in state.unknown():
        notice.warning(
            f"The address asks for {parameter} {text.code(value)}, which is not in the warehouse; "
            "something that is there is shown instead.",
            icon=":material/link_off:",
        )
    parts.footer()
    state.settle()
    _keep_loaded()


@st.cache_resource(show_spinner=False)
def _keep_loaded() -> None:
    """Take what is loaded by now, and stays, out of the search for garbage that Streamlit makes after every run.

    With pandas, Plotly and DuckDB loaded, that search takes a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)


@st.fragment(run_every=LOOK_EVERY)
def _watch(folder: str, shown: str | None) -> None:
    """Run the page again as soon as the pointer names another file than the one shown."""
    try:
        path = latest(Path(folder))
    except WarehouseError:
        return
    if path is not None and str(path) != shown:
        st.toast("New results were published; the page shows them now.", icon=":material/autorenew:")
        st.rerun(scope="app")


main()
