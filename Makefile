# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

PACKAGES := rotoscale resources assets command_line dashboard demo

.PHONY: help setup setup-test setup-distributed demo test pytest test-slow test-distributed lint style types docs ui clean

help:
	@echo "make demo   set up, then take the shipped model family from checkpoints to the published tables"
	@echo "make test   set up, then lint, type-check, build the documents and test"
	@echo "make test-slow  the tests that start servers and wait for them, one at a time"
	@echo "make test-distributed  set up Ray, Kubernetes' launcher and Postgres, then test what several machines do"
	@echo "make ui     set up, then start the Dagster UI and the dashboard"
	@echo "make docs   set up, then build the documentation into build/site, to be opened in a browser"
	@echo "make setup  only make .venv with the rotoscale command in it"

# A newer pip resolves in half the time of the one that came with Python. What it installs is compiled afterwards, on all
# cores and without the libraries' own tests; a few files that no Python compiles are none of our concern.
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests/' $(VENV)/lib $(PACKAGES) || true

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip || echo "pip stays as it is, and takes longer"
	@touch $@

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(INSTALL) --no-compile --editable .
	@$(COMPILE)
	@touch $@

# Everything in one call, so that what depends on what is found out once; the browser comes meanwhile.
setup-test: $(VENV)/.installed-test

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.made
	@sh scripts/install_for_tests.sh chromium "the browser tests" chromium & \
		$(INSTALL) --no-compile --editable '.[dev,docs]'; installed=$$?; wait; exit $$installed
	@$(COMPILE)
	@touch $(VENV)/.installed $@

setup-distributed: $(VENV)/.installed-distributed

$(VENV)/.installed-distributed: $(VENV)/.installed-test
	$(INSTALL) --no-compile --editable '.[dev,docs,distributed,kubernetes]'
	@$(COMPILE)
	@sh scripts/install_for_tests.sh postgresql "the test of several machines" initdb /usr/lib/postgresql/*/bin/initdb
	@touch $@

demo: setup
	$(BIN)/rotoscale run

ui: setup
	$(BIN)/rotoscale ui

lint: style types

style: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-test
	$(BIN)/mypy $(PACKAGES)

docs: setup-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open build/site/index.html"

# Types are checked beside the tests, which leave a core idle now and then.
test: style
	@$(MAKE) --no-print-directory --jobs 2 types pytest

pytest: setup-test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 15

test-slow: setup-test
	$(BIN)/python -m pytest -m slow --durations 0 -rs

test-distributed: setup-distributed
	$(BIN)/python -m pytest -m 'slow or not slow' --durations 0 -rs tests/test_deploy.py tests/test_distributed.py

clean:
	rm -rf $(VENV) data screenshots .pytest_cache .ruff_cache .mypy_cache
