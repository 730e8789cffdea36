PYTHON ?= python3
BIN := .venv/bin
# The first of runs/digits-1, -2, ... that is free.
RUN := $(shell n=1; while [ -e runs/digits-$$n ]; do n=$$((n + 1)); done; echo runs/digits-$$n)

.PHONY: evolve test gpu-check install clean

evolve: install
	$(BIN)/python evolve.py --num-min-depth 20 --num-max-depth 70 --run $(RUN) $(ARGS)
	@$(BIN)/python -m populations report $(RUN) --out $(RUN)/report.html > /dev/null
	@echo; echo "Open $(RUN)/report.html in a browser: how the search went, and each network with its drawing."

test: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

gpu-check: .venv/developing
	$(BIN)/python -m benchmarks.gpu_check $(ARGS)

install: .venv/installed

# What a search and its report need.
.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[report]'
	touch $@

# What the tests need, too.
.venv/developing: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch .venv/installed $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
