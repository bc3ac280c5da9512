.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
FRAMEWORKS := supersuit openspiel torchrl benchmarl rllib skrl minari
VENVS ?= .venvs
# compiled files are kept, whatever the shell says: without them each process compiles everything anew
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n logical --dist worksteal -p no:logging
# what make test-fast runs, which may name others: make test-fast FAST=tests/agents FEW=3
FEW ?= 1
FAST ?= $(addprefix tests/, alignment core data envs learners markets mechanisms metrics render \
	valuation test_jaxtyping_once.py test_structure.py)

.PHONY: help demo test test-fast test-gpu lint types docs serve bench bench-peers mutate clean test-frameworks $(FRAMEWORKS:%=test-%)

help:  ## show these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet "torch>=2.6,<2.14" "torchvision>=0.21,<0.29"
	$(BIN)/python -m pip install --quiet "hatchling>=1.25" "editables>=0.5"
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $(STAMP)

demo: $(STAMP)  ## agents train, trade and pay on real digits; writes results/demo/report.html
	$(BIN)/python scripts/demo.py

test: $(STAMP) lint types  ## run the whole suite, one process a core
	$(PYTEST)

test-fast: $(STAMP)  ## the library in less than a minute: one case of each test, without the long ones
	$(PYTEST) --few $(FEW) $(FAST)

# one process: a GPU serves one at a time best
test-gpu: $(STAMP)  ## the tests that want a GPU; where there is none they are skipped
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu -rs tests

lint: $(STAMP)  ## ruff and the import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)  ## mypy
	$(BIN)/mypy

# the theme tells of a successor that the site does not use
MKDOCS := NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(VENVS)/docs/bin/python -m mkdocs

docs: $(VENVS)/docs/.installed  ## write the site of the documentation to results/site, to be read without the net
	$(MKDOCS) build --strict --config-file docs/_site/mkdocs.yml

serve: $(VENVS)/docs/.installed  ## show the site at http://127.0.0.1:8000, built anew after each change
	$(MKDOCS) serve --config-file docs/_site/mkdocs.yml

# links lead from results/notebooks to the notebooks beside, and to the other pages in docs
NOTEBOOKS ?= results/notebooks
JUPYTEXT ?= $(VENVS)/notebooks/bin/python -m jupytext
PAGES := $(patsubst docs/tutorials/%.md,$(NOTEBOOKS)/%.ipynb,$(wildcard docs/tutorials/*.md))

notebooks: $(PAGES)  ## write the tutorials as notebooks to results/notebooks; EXECUTE=--execute also runs them

.PHONY: notebooks $(PAGES)
$(PAGES): $(NOTEBOOKS)/%.ipynb: $(VENVS)/notebooks/.installed
	@mkdir -p $(NOTEBOOKS)
	sed -E -e 's#\]\(([a-z_]+)\.md\)#](\1.ipynb)#g' -e 's#\]\(\.\./#](../../docs/#g' docs/tutorials/$*.md | \
		$(JUPYTEXT) --from md --to ipynb --set-kernel python3 $(EXECUTE) --output $@

$(VENVS)/%/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENVS)/$*
	$(VENVS)/$*/bin/python -m pip install --quiet --upgrade "pip>=24"
	$(VENVS)/$*/bin/python -m pip install --quiet "torch>=2.6,<2.14"
	$(VENVS)/$*/bin/python -m pip install --quiet "hatchling>=1.25" "editables>=0.5"
	$(VENVS)/$*/bin/python -m pip install --quiet --editable ".[recipes,$*]"
	@touch $@

test-frameworks:  ## every recipe of docs/guides/frameworks.md in a virtual environment of its own
	@rm -f $(FRAMEWORKS:%=$(VENVS)/%.xml)
	@$(MAKE) --keep-going --no-print-directory $(FRAMEWORKS:%=test-%); failed=$$?; \
	$(PYTHON) tests/frameworks/summary.py $(FRAMEWORKS:%=$(VENVS)/%.xml) && exit $$failed

# Ray also spreads audits: the same bytes as without it
test-rllib: MORE = tests/scripts/test_audit.py -k "rllib or ray"

$(FRAMEWORKS:%=test-%): test-%: $(VENVS)/%/.installed  ## one framework's recipes: test-rllib, test-torchrl, ...
	@rm -f $(VENVS)/$*.xml
	MARKETENV_FRAMEWORK=$* $(VENVS)/$*/bin/python -m pytest tests/frameworks/test_$*.py $(MORE) --junitxml=$(VENVS)/$*.xml

bench: $(STAMP)  ## measure speed; writes results/benchmark.json
	$(BIN)/python scripts/benchmark.py

bench-peers: $(VENVS)/peers/.installed  ## our speed beside that of others, Flower among them; writes results/peers.json
	$(VENVS)/peers/bin/python scripts/benchmark.py --only peers --out results/peers.json

mutate: $(STAMP)  ## make the code wrong in chosen places and see which the tests notice; writes results/mutants.json
	$(BIN)/python scripts/mutate.py

clean:  ## remove the virtual environments and all results
	rm -rf $(VENV) $(VENVS) results
