.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test lint types bench clean

help:  ## show these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet "torch>=2.6,<2.14" "torchvision>=0.21,<0.29"
	$(BIN)/python -m pip install --quiet "hatchling>=1.25" "editables>=0.5"
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $(STAMP)

demo: $(STAMP)  ## agents train, trade and pay on real digits; writes results/demo/report.html
	$(BIN)/python scripts/demo.py

test: $(STAMP) lint types  ## run the whole suite
	$(BIN)/python -m pytest

lint: $(STAMP)  ## ruff and the import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)  ## mypy
	$(BIN)/mypy

bench: $(STAMP)  ## measure speed; writes results/benchmark.json
	$(BIN)/python scripts/benchmark.py

clean:  ## remove the virtual environment and all results
	rm -rf $(VENV) results
