# `make run` serves, `make test` checks. Both set up what they need in .venv first.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header

.venv/runtime: requirements.txt
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/runtime
	$(PIP) -r requirements-dev.txt
	@touch $@

.env: | .venv/runtime
	@$(BIN)/python tools/make_env.py $(PORT)

.PHONY: run
run: .venv/runtime .env ## Set up and serve on 127.0.0.1:8000 (or PORT)
	@echo "Next, in another terminal: make simulate"
	@exec $(BIN)/gunicorn --bind 127.0.0.1:$${PORT:-8000} wsgi:app

.PHONY: simulate
simulate: .venv/runtime .env ## Play Plivo: send signed callbacks to the running service
	@$(BIN)/flask --app wsgi simulate $(if $(PORT),--url http://127.0.0.1:$(PORT))

.PHONY: test
test: .venv/dev ## Set up and check: lint, types, all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

.PHONY: faults
faults: .venv/dev ## Break it on purpose, in full, and print the figures
	$(BIN)/python -m pytest tests/faults --fault-rounds=full --fault-report=fault-figures.md

.PHONY: bench
bench: .venv/dev ## Measure against Fastify, FastAPI and an empty application
	$(BIN)/python -m bench

.PHONY: bench-growth
bench-growth: .venv/dev ## Measure with 5,000,000 messages in the database
	$(BIN)/python -m bench.growth

.PHONY: format
format: .venv/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: .venv/dev ## Pin requirements*.txt anew from pyproject.toml
	$(LOCK) --output-file requirements.txt
	$(LOCK) --group dev --output-file requirements-dev.txt

.PHONY: clean
clean: ## Remove what the other targets made, except .env and data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
