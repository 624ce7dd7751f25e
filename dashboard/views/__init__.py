"""The pages, one file each; `dashboard.pages` says what makes a file a page."""
