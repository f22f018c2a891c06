# The project's commands. A fresh clone needs only Python >= 3.11 and make.

PYTHON ?= python3
OUT ?= runs/first
SEARCH ?= NAS-Digits-v0 --agent reinforce --children 200 --seed 0

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help search test faults lint types bench format clean

## make search   search networks for images of digits and draw the best; again: resume
## make test     lint, check the types and run the tests
## make faults   inject every fault hundreds of times and write docs/reliability-faults.md; 30 minutes
## make lint     ruff: style and format
## make types    mypy: types
## make bench    measure the speed of every hot path against a naive implementation
## make format   format every file
## make clean    remove everything installed and built, except runs/
help:
	@sed -n 's/^## //p' Makefile

search: .venv/installed
	@$(BIN)/nasgym search $(SEARCH) --out $(OUT)

test: lint types
	$(BIN)/python -m pytest

faults: .venv/installed
	@$(PIP_INSTALL) -e '.[ray]'
	$(BIN)/python -m pytest tests/faults --full-faults --faults-table docs/reliability-faults.md

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python -m nasgym.benchmarks.speed

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# torch is installed first, in its exact release: pip then prefers a wheel that is already on the
# machine to the newest one, which on Linux includes CUDA.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "nasgym needs Python 3.11 or newer; $(PYTHON) is not: try make PYTHON=python3.12"; \
		exit 1; }
	@echo "Installing PyTorch into .venv (once; it is large and takes a minute or more) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) "$$(grep '^torch==' constraints.txt)"
	@echo "Installing nasgym and the rest (once, about a minute) ..."
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@
