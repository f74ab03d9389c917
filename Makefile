# Arbiter: `make paper` trades on paper, `make test` runs every test. Both need only Python 3.11 or newer and a package index.
SHELL  := /bin/sh
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
ARGS   ?=
# Test files at once: many of them wait for a process or a clock, and more would make clocks run out.
WORKERS ?= 2

.PHONY: help setup paper demo test lint format bench soak docs screenshots locks clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)-runtime  ## make .venv and install the runtime lock file and the project

paper: setup  ## trade on paper; options through ARGS="--duration 60 --json"
	@$(BIN)/python -m bot --paper $(ARGS)

demo: setup  ## trade in the simulated world
	@$(BIN)/python -m bot --demo $(ARGS)

test: $(STAMP)-dev  ## the whole test suite with its coverage gate
	@$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -m "not soak" -n $(WORKERS) --dist loadfile --cov --cov-report=term $(ARGS)

lint: $(STAMP)-dev  ## ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)-dev  ## rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)-dev $(VENV)-bench/.stamp  ## figures, and their ratios to the peers of requirements/bench.lock
	@$(BIN)/python -m benchmarks --peers $(VENV)-bench/bin/python $(ARGS)

soak: $(STAMP)-dev  ## the long tests
	$(BIN)/python -m pytest -m soak $(ARGS)

docs: $(STAMP)-dev  ## write the generated reference pages
	$(BIN)/python -m bot.docs $(ARGS)

screenshots: $(STAMP)-dev  ## take the pictures of the documentation (needs Chromium)
	$(BIN)/python -m tests.browser.pictures docs/images

locks:  ## compile requirements/*.lock again (needs uv)
	for name in runtime dev bench; do \
	  uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 \
	    requirements/$$name.in -o requirements/$$name.lock || exit 1; \
	done

clean:  ## remove the environments and caches
	rm -rf $(VENV) $(VENV)-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Arbiter needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`. Say: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP)-runtime: requirements/runtime.lock pyproject.toml | $(BIN)/python
	@echo "Installing requirements/runtime.lock into $(VENV) (about a minute, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMP)-dev: requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing requirements/dev.lock into $(VENV) (about a minute, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)-runtime $@

$(VENV)-bench/.stamp: requirements/bench.lock
	@$(PYTHON) -m venv $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.lock
	@touch $@
