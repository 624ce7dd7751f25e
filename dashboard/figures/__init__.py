"""Figures: a data frame in, a Plotly figure out. No query and no Streamlit in here, so that the report uses them too.

Names in the data are other people's and are escaped by whoever puts them on a figure (`text.label`).
"""
