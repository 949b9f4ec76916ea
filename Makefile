# `make demo` and `make test` need Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

COHORT ?= experiments/glioma.toml
BUDGET ?= 12
OUT ?= runs/paper

# a process per core; tests of one file stay together, for what they share
PARALLEL ?= --numprocesses auto --dist loadfile

.PHONY: demo test fast paper lint clean

demo: $(INSTALLED)  ## simulate, prepare, train, synthesize, evaluate: one page, in nine to fourteen minutes
	$(BIN)/pmmsynth demo --out demo

test: lint  ## style, types and every test
	$(BIN)/python -m pytest $(PARALLEL)

fast: $(INSTALLED)  ## the tests that take seconds
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

paper: $(INSTALLED)  ## every method on a cohort at one budget: make paper COHORT=cohorts.toml BUDGET=12 OUT=runs/paper
	$(BIN)/pmmsynth prepare $(COHORT) --out $(OUT)/store $(PREPARE)
	$(BIN)/python experiments/comparison.py $(OUT)/store $(OUT) --epochs $(BUDGET)
	$(BIN)/python experiments/kept.py $(OUT)/store $(OUT) $(OUT)/kept
	$(BIN)/python experiments/tables.py $(OUT)/kept

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove the environment and what demo and test made
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "found $$($(PYTHON) --version); expected Python 3.11 or newer; run make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
