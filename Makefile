# Everything here needs Python 3.11 or newer and make; the first target that runs makes the environment.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test browser lint format bench parity notebooks clean
.DEFAULT_GOAL := demo

demo: .venv/stamp  ## train on the built-in world, search it, write demo/report.html
	$(BIN)/sensorium demo

test: .venv/stamp  ## the whole test suite
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

browser: .venv/stamp  ## the page of `sensorium serve` in a real Chromium, which has to be there
	$(BIN)/python -m pytest tests/serve/browser.py

lint: .venv/stamp  ## style, layout and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/stamp  ## put the layout right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/stamp  ## every benchmark, one after the other; each writes benchmarks/results/<name>.json
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

parity: .venv/stamp  ## pretrained families beside transformers: PEERS is a Python that has the extra "parity"
	$(BIN)/python tests/pretrained/parity.py --peers $(PEERS)

notebooks: .venv/stamp  ## the examples as notebooks
	$(BIN)/jupytext --quiet --to ipynb examples/*.py

clean:
	rm -rf .venv .ci-venv build dist .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sensorium needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
