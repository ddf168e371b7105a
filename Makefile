# Needs Python 3.10 or later (3.11 is what CI runs), gcc/g++ and a package index. Everything goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?= torch==2.13.0
VENV ?= .venv
BUDGET ?= 60s
TASK ?= examples/tasks/inceptionnext_block.py
PYTEST_FLAGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# What the compiled kernels are built from: a change of these reinstalls.
NATIVE := pyproject.toml CMakeLists.txt $(wildcard csrc/*)

.PHONY: help demo test test-slow lint bench docs format clean
.DELETE_ON_ERROR:

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.workbench  ## install and find a faster kernel for a block of a real network
	$(BIN)/kernelmill optimize $(TASK) --budget $(BUDGET)

test: $(VENV)/.test  ## tests and doctests
	$(BIN)/python -m pytest -q --doctest-modules -m "not slow and not gpu" tests src $(PYTEST_FLAGS)

test-slow: $(VENV)/.test  ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow tests $(PYTEST_FLAGS)

lint: $(VENV)/.test  ## ruff, import floors, weight of the import
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python tools/import_weight.py

bench: $(VENV)/.test  ## operators beside eager and compiled PyTorch, and the evaluator
	for script in benchmarks/ops/*.py benchmarks/evaluator.py; do \
		test ! -f $$script || case $$script in */_*) ;; *) \
			echo "== $$script" && $(BIN)/python $$script || exit 1 ;; esac; \
	done

docs: $(VENV)/.test  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.test  ## let ruff format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove what was built, .venv included
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/.torch:
	@test -n "$(PYTHON)" || { echo "no python3 found; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing $(TORCH) into $(VENV) (once)"
	$(PIP) "$(TORCH)"
	@touch $@

$(VENV)/.workbench: $(VENV)/.torch $(NATIVE)
	@echo "installing kernelmill"
	$(PIP) -e ".[workbench]"
	@touch $@

$(VENV)/.test: $(VENV)/.torch $(NATIVE)
	@echo "installing kernelmill and what the tests need"
	$(PIP) -e ".[test]"
	@touch $@ $(VENV)/.workbench
