# make demo    set up, then train, evaluate and report on the embedded default
# make real    set up, fetch SmolLM2 (93 MB, once), then train, evaluate and report on it
# make test    set up, then run the tests
PYTHON ?= python3
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo real test slow setup dev lint docs clean

demo: setup
	.venv/bin/contextune run recipes/quickstart.yaml

real:
	@$(PYTHON) scripts/setup.py gguf
	.venv/bin/contextune get smollm2
	.venv/bin/contextune run recipes/real.yaml

setup:
	@$(PYTHON) scripts/setup.py

dev:
	@$(PYTHON) scripts/setup.py dev harness

test: dev
	.venv/bin/python -m pytest -n 2 --dist worksteal

slow: dev
	.venv/bin/python -m pytest -m slow

lint: dev
	.venv/bin/ruff check src tests scripts
	.venv/bin/mypy

clean:
	rm -rf .venv runs build dist .pytest_cache .ruff_cache .mypy_cache

docs: dev
	.venv/bin/python scripts/docs.py
