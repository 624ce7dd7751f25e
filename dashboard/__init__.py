"""The dashboard: Streamlit pages over the published DuckDB file, and nothing else.

`app.py` is the entry point and `views/` holds one file per page, found by `pages.py`. Every number comes through
`queries/` or the summaries that the command line prints too; what a column means comes from the published file itself
(`catalogue.py`). Every figure is made in `figures/` from what a query returned; `state.py` keeps the filters in the
address of the page. `report/` writes the same figures and tables into one file to send to somebody.
"""
