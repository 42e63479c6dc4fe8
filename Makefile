# Every target first makes .venv (instant when nothing changed). The logic is Python: dev/bootstrap.py, dev/spacehub_dev.
PYTHON ?= python3
BIN := .venv/bin
COMPOSE ?= docker compose

.PHONY: help setup demo run test check docs up down bench faults lock clean
.DEFAULT_GOAL := help

help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv from requirements.lock
	@$(PYTHON) dev/bootstrap.py

demo: setup ## Boot the whole system, publish the sample events, show what each phone, device and inbox received
	@exec $(BIN)/spacehub-dev demo

run: setup ## Boot the whole system and keep it running (QUIET_HOURS=22:00-08:00 RATE_LIMIT=...; Ctrl-C stops it)
	@exec $(BIN)/spacehub-dev run

test: setup ## Run every test against real PostgreSQL and RabbitMQ (PYTEST_ARGS="-k otp -x")
	@exec $(BIN)/python -m pytest $(PYTEST_ARGS)

check: setup ## Formatter, linter, strict types, floors, manifests
	@exec $(BIN)/spacehub-dev check

docs: setup ## Write again what is generated: contract documents, metrics, dashboard, alert rules of the cluster
	@exec $(BIN)/spacehub-dev documents

bench: setup ## Side-by-side measurements, printed as ratios
	@exec $(BIN)/python -m bench

faults: setup ## Every fault experiment, written to docs/faults.md (minutes)
	@exec $(BIN)/python -m tests.faults

up: ## Build the images and bring the whole system up in containers (with Docker; writes .env once)
	@$(PYTHON) deploy/compose/environment.py
	@$(COMPOSE) up --detach --build

down: ## Stop the containers; their volumes stay (make down DOWN=--volumes removes them)
	@$(COMPOSE) down $(DOWN)

lock: ## Make the locks again from the pyproject files and tools.in (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/"; exit 1; }
	uv lock --quiet --python 3.11
	uv export --frozen --all-packages --no-emit-workspace --no-header --quiet --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		deploy/k8s/tools.in --output-file deploy/k8s/tools.lock

clean: ## Remove .venv, .run and every cache
	@$(PYTHON) dev/clean.py
