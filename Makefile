# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo app docs test test-all coverage lint constraints release

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python here: install Python 3.11, or give make PYTHON=<path>"; exit 1; }
	$(PYTHON) -m venv $(VENV)
# One exact PyTorch: a CPU build where pip is told of one, and the release ExecuTorch and torchao are built for.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -e ".[dev]"
	@touch $@

demo: $(VENV)/.installed ## train one CNN on one fold of the built-in synthetic photos and show the result
	$(BIN)/python -m mpox.train study=demo

app: apps/web/node_modules/.installed ## build the web app for phones (needs node 20 or later)
	cd apps/web && npm run --silent check && npm run --silent build

apps/web/node_modules/.installed: apps/web/package-lock.json
	@command -v npm >/dev/null || { echo "no npm here: install node 20 or later (Debian: apt-get install npm)"; exit 1; }
	cd apps/web && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

docs: $(VENV)/.installed-docs ## build the documentation site in build/site; a dead link fails
	$(BIN)/python docs/options_pages.py
	rm -rf build/site
	$(BIN)/zensical build --clean --strict

$(VENV)/.installed-docs: $(VENV)/.installed pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

test: $(VENV)/.installed ## run the tests that take minutes
	$(BIN)/python -m pytest

test-all: $(VENV)/.installed ## run all tests, the slow ones too
	$(BIN)/python -m pytest -m ""

coverage: $(VENV)/.installed ## run the tests of `make test` and print which lines they run; build/coverage/ has the pages
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

lint: $(VENV)/.installed ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

constraints: $(VENV)/.installed ## write down the versions of this environment
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | sed 's/+cpu$$//' > $(VENV)/frozen
	{ head -2 constraints.txt; cat $(VENV)/frozen; } > constraints.new && mv constraints.new constraints.txt

release: app $(VENV)/.installed ## wheel, source archive and checksums, in dist/
	rm -rf dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build
	cd dist && sha256sum * > SHA256SUMS
