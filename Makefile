# Needs Python 3.11 or newer, and make. Everything else is installed into $(VENV), from hashed locks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
# Else each of hundreds of processes compiles every module anew.
export PYTHONDONTWRITEBYTECODE :=
# Set PYTHON to choose an interpreter; else the first that is new enough and can make environments.
PYTHON ?=

# Many tests wait for processes rather than compute: one worker more than small machines have cores.
# A file's tests stay together, as they share what they started.
ARGS ?= --numprocesses 3 --dist loadfile

# What runs again on PostgreSQL, of what uses a database.
ON_POSTGRESQL ?= tests

BIN := $(VENV)/bin
CREATED := $(VENV)/.created
RUNTIME := $(VENV)/.installed-runtime
DEVELOPMENT := $(VENV)/.installed-development

# --only-binary: building a source distribution would fetch build tools that no hash covers.
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --require-virtualenv
INSTALL_LOCKED := $(INSTALL) --require-hashes --only-binary :all:
# The build backend is in the lock: isolation would fetch it again, without a hash.
INSTALL_PROJECT := $(INSTALL) --no-deps --no-build-isolation --editable .

# The Compose program; `docker compose` is the same where Docker brings it.
COMPOSE ?= $(BIN)/docker-compose

LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --extra build

.PHONY: help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(RUNTIME) ## run three loads against an embedded server, then stop everything
	@$(BIN)/keyfill demo

.PHONY: up
up: $(RUNTIME) ## start Temporal, its Web UI, the workers and the API, and stay up until Ctrl-C
	@$(BIN)/keyfill up

.PHONY: test
test: $(DEVELOPMENT) ## run all tests, on SQLite and on PostgreSQL; ARGS="tests/engine -x" runs some
	@$(BIN)/python -m tests.support.chromium
	@$(BIN)/python -m tests.support.softhsm
	@$(BIN)/python -m tests.support.promtool
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest $(ARGS)
	@TEST_DATABASE=postgresql PYTHONHASHSEED=0 $(BIN)/python -m pytest $(ARGS) $(if $(filter tests/%,$(ARGS)),,$(ON_POSTGRESQL))

.PHONY: load
load: $(DEVELOPMENT) ## 200 ceremonies, 50 at once, on PostgreSQL
	@$(BIN)/python -m bench.load $(or $(LOAD),--ceremonies 200 --at-once 50)

.PHONY: lint
lint: $(DEVELOPMENT) ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: compose-config
compose-config: $(DEVELOPMENT) ## check docker-compose.yml with the variables of deploy/env.example
	$(COMPOSE) --env-file deploy/env.example --profile kiosk config --quiet

.PHONY: compose-test
compose-test: $(DEVELOPMENT) ## build the image, start the stack and run a load on it, where Docker can
	@$(BIN)/python -m bench.composetest --compose "$(COMPOSE)" $(if $(STAND_INS),--stand-ins)

.PHONY: lock
lock: $(DEVELOPMENT) ## rewrite both locks from pyproject.toml; UPGRADE=--upgrade takes newer versions
	$(LOCK) $(UPGRADE) --output-file requirements.lock
	$(LOCK) $(UPGRADE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	@! grep -n '://' requirements.lock requirements-dev.lock

.PHONY: clean
clean: ## remove the environment, caches and build output; keeps .keyfill (it holds keys)
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@chosen=''; bare=''; \
	for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if "$$candidate" -c 'import venv, ensurepip' 2>/dev/null; then chosen="$$candidate"; break; fi; \
		bare="$$candidate"; \
	done; \
	if [ -z "$$chosen" ] && [ -n "$$bare" ]; then \
		echo "Keyfill: $$bare cannot make virtual environments (on Debian: apt-get install python3-venv)." >&2; exit 1; \
	fi; \
	if [ -z "$$chosen" ]; then \
		echo "Keyfill needs Python 3.11 or newer, and found none. Install one, or say make PYTHON=/path/to/python3." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$chosen" --version)"; \
	"$$chosen" -m venv "$(VENV)"
	@touch $@

$(RUNTIME): $(CREATED) requirements.lock pyproject.toml
	@echo "Installing Keyfill into $(VENV)"
	@$(INSTALL_LOCKED) -r requirements.lock
	@$(INSTALL_PROJECT)
	@touch $@

# Same versions plus the tools, so it stands in for the runtime installation as well.
$(DEVELOPMENT): $(CREATED) requirements.lock requirements-dev.lock pyproject.toml
	@echo "Installing Keyfill and its development tools into $(VENV)"
	@$(INSTALL_LOCKED) -r requirements-dev.lock
	@$(INSTALL_PROJECT)
	@touch $(RUNTIME) $@
