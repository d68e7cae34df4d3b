.PHONY: demo test quick fuzz lint types install dev bench docs clean

VENV := .venv/bin
# A worker that dies ends the run: pytest-xdist may wait for ever for its successor.
PYTEST := $(VENV)/pytest -n 2 --dist loadgroup --max-worker-restart 0

demo:  ## a first video, from nothing
	@start=$$(date +%s); scripts/venv.sh && $(VENV)/gioconda demo --out gioconda_demo.mp4 && \
	  echo "all together: $$(($$(date +%s) - start)) s"

test: lint types  ## everything that CI asks for
	$(PYTEST)

quick: lint types  ## the same without the tests that take seconds
	$(PYTEST) -m "not slow"

fuzz: dev  ## 10,000 damaged files through every reader
	$(VENV)/python tests/fuzz.py --count 10000 --workers 2

lint: dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/lint-imports --no-logo

types: dev
	$(VENV)/mypy

bench: dev  ## the figures of docs/figures.md
	$(VENV)/python benchmarks/quality.py
	$(VENV)/python benchmarks/refiner.py
	$(VENV)/python benchmarks/cross.py
	$(VENV)/python benchmarks/speed.py

docs: dev  ## the site, in ./site; fails on a warning
	NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs build --strict

install:
	@scripts/venv.sh

dev:
	@scripts/venv.sh dev

clean:
	rm -rf .venv build dist out site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache gioconda_demo.mp4
