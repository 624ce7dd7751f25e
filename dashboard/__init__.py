"""The dashboard: Streamlit pages over the published DuckDB file, and nothing else.

`app.py` is the entry point and `views/` holds one file per page. Every number comes through `queries.py`, the only
module with SQL; every figure is made in `figures/` from what a query returned; `state.py` keeps the filters in the
address of the page. `report.py` writes the same figures and tables into one file to send to somebody.
"""
