# Every target is one command; what it does is in Python. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install migrate migrate-staging migrate-prod status psql seed test coverage test-slow lint types floors check rehearse bench bench-locks bench-backfill bench-restructure stop destroy clean

##@ Use

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

migrate: $(VENV)/.installed ## Bring the database of the environment (development if unset) to the head, seed it, show it
	@$(BIN)/alembic upgrade head
	@$(BIN)/homeops-db seed
	@$(BIN)/homeops-db status

migrate-staging: $(VENV)/.installed ## Deploy to HOMEOPS_DATABASE_URL as staging, with a backup first
	@$(BIN)/homeops-db deploy --env staging

migrate-prod: $(VENV)/.installed ## Deploy to HOMEOPS_DATABASE_URL as production, with a backup first
	@$(BIN)/homeops-db deploy --env production

status: $(VENV)/.installed ## Show version, pending revisions, drift, extensions
	@$(BIN)/homeops-db status

psql: $(VENV)/.installed ## Open psql on the local server
	@$(BIN)/homeops-db local psql

stop: $(VENV)/.installed ## Stop the local server
	@$(BIN)/homeops-db local stop

destroy: $(VENV)/.installed ## Stop the local server and delete its data
	@$(BIN)/homeops-db local destroy

##@ Develop

install: $(VENV)/.installed-dev ## Install everything into .venv

test: $(VENV)/.installed-dev ## Run the tests on the local server
	@$(BIN)/pytest -n 3 --dist worksteal $(PYTEST)

coverage: $(VENV)/.installed-dev ## The same, and report what they cover
	@$(MAKE) test PYTEST="--cov --cov-report=term"

test-slow: $(VENV)/.installed-dev ## Run the slow tests
	@$(BIN)/pytest -m slow -n 3 --dist worksteal

lint: $(VENV)/.installed-dev ## Check style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## Check types
	@$(BIN)/mypy

floors: $(VENV)/.installed-dev ## Check that imports go downward only
	@$(BIN)/lint-imports

check: lint types floors test ## All of the above

rehearse: $(VENV)/.installed-dev ## Migrate a million generated rows under traffic (REHEARSE="--rows 20k" for fewer)
	@$(BIN)/homeops-db rehearse $(REHEARSE)

bench: $(VENV)/.installed-dev ## Measure `alembic upgrade head` against a bare Alembic project
	@$(BIN)/python -m benchmarks.startup

bench-locks: $(VENV)/.installed-dev ## Measure what the traffic feels while a revision waits for a lock, or builds (10 minutes)
	@$(BIN)/python -m benchmarks.locks

bench-backfill: $(VENV)/.installed-dev ## Measure online.backfill against one UPDATE (15 minutes; more rows: BACKFILL="--rows 10000000")
	@$(BIN)/python -m benchmarks.backfill $(BACKFILL)

bench-restructure: $(VENV)/.installed-dev ## Measure online.Restructure and online.TypeChange against the same at once (15 minutes)
	@$(BIN)/python -m benchmarks.restructure $(RESTRUCTURE)

clean: ## Delete .venv and caches; databases and backups stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage*

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) .ci/bootstrap.py $(VENV)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	@$(PYTHON) .ci/bootstrap.py $(VENV) --dev
	@touch $(VENV)/.installed $@
