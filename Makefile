# Two commands to start with: `make demo` and `make test`. Each sets up what it needs.

VENV := .venv
BIN := $(VENV)/bin
# The first Python on this machine that is new enough; `make PYTHON=/path/to/python` decides otherwise.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt

.PHONY: help demo test check format bench clean
.DEFAULT_GOAL := help

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run  ## run the workflow examples.code_census on Python's own asyncio; needs no server
	@$(BIN)/dramaturg run examples.code_census $(ARGS)
	@echo "(dramaturg is $(BIN)/dramaturg)"

test: $(VENV)/.test  ## run every test; the tests start the servers that they need
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test  ## look at format, style, types and the walls between the folders
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test  ## format the code, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.run  ## measure steps, the interpreter, expressions and great definitions
	@$(BIN)/python bench $(ARGS)

clean:  ## remove the virtual environment, caches and builds; the runs in .dramaturg/ stay
	rm -rf $(VENV) build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "make: Dramaturg needs Python 3.11 or newer, and none is on the path" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing Dramaturg into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing Dramaturg and what its tests need into $(VENV)"
	@$(PIP) -e '.[test]'
	@touch $(VENV)/.run $@
