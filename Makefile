# `make help` lists the targets. Everything is installed into .venv and nowhere else.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
SPEC ?= examples/reviews/trimtab.yaml
SAMPLE := examples/reviews/reviews.csv
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# Extra words for pytest, such as PYTEST="-n 2" or PYTEST="-k splits".
PYTEST ?=

.DEFAULT_GOAL := help
.PHONY: help launch test test-slow check format bench bench-gpu docs picture constraints clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

launch: $(VENV)/.train $(SAMPLE) ## install, fetch the sample, train, compress, audit and release: the first thing to try
	$(BIN)/trimtab launch $(SPEC)

test: $(VENV)/.all ## the tests that need neither a GPU nor minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile $(PYTEST)

test-slow: $(VENV)/.all ## the tests that take minutes or install packages
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -m "slow and not gpu" $(PYTEST)

check: $(VENV)/.all ## lint, format, types, who imports whom, freshness of the generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_docs.py --check

format: $(VENV)/.all ## rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.all ## write the generated pages of docs/
	$(BIN)/python tools/generate_docs.py

picture: $(VENV)/.all ## write docs/card.png anew: the card of runs/reviews/bundle as chromium shows it
	$(BIN)/python tools/card_picture.py

bench: $(VENV)/.all $(SAMPLE) ## Trimtab beside its rivals on this machine (long); OPTIONS="--rows 500 --repeats 1"
	$(BIN)/python -m benchmarks.run $(OPTIONS)

bench-gpu: $(VENV)/.all ## the training loop on a GPU; says so and ends well without one
	$(BIN)/python -m benchmarks.gpu $(OPTIONS)

constraints: ## resolve the extras anew and write constraints.txt
	$(SHELL) tools/write_constraints.sh $(VENV)-constraints

clean: ## remove the environments and everything that was made (not runs/)
	rm -rf $(VENV) $(VENV)-constraints .venvs build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf .hypothesis .trimtab-cache $(SAMPLE)
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: an extra is installed again only when pyproject.toml or constraints.txt has changed.
$(VENV)/.train: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing trimtab[train] into $(VENV): about 2 GB, some minutes"
	@$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/.all: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing trimtab[all] into $(VENV): about 2 GB, some minutes"
	@$(PIP) --editable '.[all]'
	@touch $(VENV)/.train $@

$(BIN)/python:
	@python="$$($(SHELL) tools/find_python.sh)" && echo "making $(VENV) with $$python" && "$$python" -m venv $(VENV)

$(SAMPLE): | $(VENV)/.train
	$(BIN)/trimtab sample reviews --to $@
