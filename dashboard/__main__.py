"""Streamlit's command line, with what the pages need loaded before it starts.

Streamlit loads a page's modules when the page is first asked for, and whoever asks waits a second for them.
"""

from importlib import import_module

from streamlit.web.cli import main

for module in ("duckdb", "pandas", "plotly.io", "dashboard.assemble", "dashboard.matrix", "dashboard.figures.score"):
    import_module(module)
main(prog_name="streamlit")
