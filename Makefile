PYTHON ?= python3
BIN := .venv/bin

.PHONY: evolve test gpu-check install clean

evolve: install
	$(BIN)/python evolve.py --num-min-depth 20 --num-max-depth 70

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

gpu-check: install
	$(BIN)/python -m benchmarks.gpu_check $(ARGS)

install: .venv/installed

.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
