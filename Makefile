# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RECORDS ?= demo/records
REPORT ?= demo/report

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-slow lint types leaderboard check-leaderboard ci clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "worldbench needs Python 3.11 or newer; choose one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@# An oracle of the tests. Its own dependencies bring a torchvision that a CPU torch cannot load.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps cd-fvd==0.1.1
	@touch $@

install: $(VENV)/.installed ## Create .venv and install worldbench into it

install-dev: $(VENV)/.installed-dev ## The same with what tests and linters need

demo: $(VENV)/.installed ## Score four adapters on the embedded videos and build a board in demo/
	$(BIN)/worldbench run -m experiment=quick records=$(RECORDS)
	$(BIN)/worldbench leaderboard --records $(RECORDS) --out $(REPORT)

# Every test computes on one core, so two of them run at once, file by file.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev ## Run the default tests (at most 10 minutes on 2 cores)
	$(PYTEST)

test-slow: $(VENV)/.installed-dev ## Run the slow tests as well (at most 30 minutes more)
	$(PYTEST) -m slow --timeout 900

lint: $(VENV)/.installed-dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## Check types
	$(BIN)/mypy

leaderboard: $(VENV)/.installed ## Run every adapter on the everyday data of every suite and rebuild the board
	$(BIN)/worldbench run -m experiment=leaderboard
	$(BIN)/worldbench leaderboard

check-leaderboard: $(VENV)/.installed ## Fail if reports/ is not what its records give
	$(BIN)/worldbench validate reports/records reports/seeds/records
	$(BIN)/worldbench leaderboard --check
	$(BIN)/worldbench leaderboard --records reports/seeds/records --out reports/seeds --check

ci: ## Everything that must hold, as CI runs it
	bash .ci/run

clean: ## Remove what the demo and the tests left
	rm -rf demo multirun outputs wandb .pytest_cache .mypy_cache .ruff_cache build dist
