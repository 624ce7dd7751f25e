"""The pages, one file each. Streamlit runs them as scripts, which is why each ends by calling its own `show`."""
