# `make run` serves, `make test` checks. Both set up what they need in .venv first.
.DEFAULT_GOAL := help
# Whether a Python is new enough and has these modules: nothing if not.
python_has = $(shell $(1) -c 'import sys, $(2); sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo yes)
# The first one that is; on a machine with several, `make test PYTHON=python3.13` chooses.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11,\
	$(if $(call python_has,$(python),ensurepip),$(python))) python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header

# What an older Python or an interrupted try has left in $(VENV) is made again.
$(VENV)/runtime: requirements.txt
	$(if $(call python_has,$(PYTHON),ensurepip),,$(error smsstatus needs Python 3.11 or newer with \
	venv (Debian and Ubuntu: apt-get install python3-venv), and $(PYTHON) is not that; \
	example: make $(MAKECMDGOALS) PYTHON=python3.13))
	@echo "Setting up $(VENV), once: a minute."
	@$(if $(call python_has,$(BIN)/python,pip),,$(PYTHON) -m venv --clear $(VENV))
	@$(PIP) -r requirements.txt
	@$(BIN)/python tools/leave_dotenv.py
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/runtime
	$(PIP) -r requirements-dev.txt
	@touch $@

.env: | $(VENV)/runtime
	@$(BIN)/python tools/make_env.py $(PORT)

# PORT, or else the one that .env was made for.
RUN_PORT = $(or $(PORT),$(shell sed -n 's/^BASE_URL=.*$${PORT:-\([0-9]*\)}.*/\1/p' .env 2>&-))

.PHONY: run
run: $(VENV)/runtime .env ## Set up and serve on 127.0.0.1:8000 (or PORT)
	$(if $(shell $(BIN)/python -m tools.run --is-taken $(RUN_PORT)),$(error port \
	$(or $(RUN_PORT),8000) is taken: stop what listens there, or take another one; example: make run PORT=8010))
	@exec $(BIN)/python -m tools.run $(RUN_PORT)

.PHONY: simulate
simulate: $(VENV)/runtime .env ## Play Plivo: send signed callbacks to the running service
	@$(BIN)/flask --app wsgi simulate

.PHONY: lint
lint: $(VENV)/dev ## Check only style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Even where the shell forbids it, as containers do: without .pyc files each of pytest's processes
# would compile all tests for itself, every time.
test quick: export PYTHONDONTWRITEBYTECODE :=

.PHONY: test
test: lint ## Set up and check: style, types, all tests
	$(BIN)/python -m pytest --numprocesses=auto

.PHONY: quick
quick: lint ## Check style, types and every test that starts no process, in a minute
	$(BIN)/python -m pytest --numprocesses=auto --no-processes --dist=loadfile -r fE

.PHONY: test-repeat
test-repeat: $(VENV)/dev ## All tests (or TESTS) N times in random order, also on a busy machine
	$(BIN)/python tools/repeat.py $(or $(N),10) $(TESTS)

.PHONY: faults
faults: $(VENV)/dev ## Break and attack the service in full, and print the figures
	$(BIN)/python -m pytest tests/faults tests/attacks tests/upkeep tests/api/test_recount.py \
		tests/web/test_recuts.py tests/store/sqlite/test_upgrade.py \
		--fault-rounds=full --fault-report=fault-figures.md

.PHONY: bench
bench: $(VENV)/dev ## Measure against Fastify and FastAPI, or with STORE=postgres
	$(BIN)/python -m bench $(if $(STORE),--store $(STORE))

.PHONY: bench-growth
bench-growth: $(VENV)/dev ## Measure with 5,000,000 messages, or 1,000,000 with STORE=postgres
	$(BIN)/python -m bench.growth $(if $(STORE),--store $(STORE))

# Apart from .venv, so that neither the service nor its tests can come to need what they pull in.
AUDIT := $(VENV)-audit/bin
$(VENV)-audit/done: requirements-audit.txt
	$(PYTHON) -m venv --clear $(VENV)-audit
	$(AUDIT)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# One by one, since no package may be listed twice. A package that could not be asked about fails.
.PHONY: audit
audit: $(VENV)-audit/done ## Ask PyPI which pinned packages have known vulnerabilities
	@failed=0; for file in requirements*.txt; do echo "$$file:"; \
		$(AUDIT)/pip-audit --disable-pip --strict --progress-spinner=off -r $$file || failed=1; \
	done; exit $$failed

.PHONY: sbom
sbom: $(VENV)-audit/done ## List what the service is made of in sbom.cdx.json (CycloneDX)
	@version=$$(sed -n 's/^VERSION/version/p' smsstatus/version.py) && \
		sed "s/^dynamic = .*/$$version/" pyproject.toml >$(VENV)-audit/pyproject.toml
	@$(AUDIT)/python -W ignore -m cyclonedx_py requirements --output-reproducible \
		--pyproject $(VENV)-audit/pyproject.toml --output-file sbom.cdx.json requirements.txt

.PHONY: format
format: $(VENV)/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/dev ## Pin requirements*.txt again, from pyproject.toml
	$(LOCK) --output-file requirements.txt
	$(LOCK) --group dev --output-file requirements-dev.txt
	$(BIN)/uv pip compile --group audit --quiet --universal --python-version 3.11 \
		--generate-hashes --no-header --output-file requirements-audit.txt

.PHONY: clean
clean: ## Remove what the other targets made, except .env and data
	rm -rf .venv* sbom.cdx.json .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
