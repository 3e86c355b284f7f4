# The two commands of the README are `make demo` and `make test`; everything they need, they set up themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
CLUSTER := env PYTHONPATH=cluster python3 -m cronix_cluster
IMAGES := cronix-operator cronix-signer cronix-example
export PYTHONPATH := spec:shim:sdk:operator:cli:cluster
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo demo-down test check e2e test-browser fmt lint type imports unit fuzz faults test-faults bench lock setup wheels images charts \
  cluster-up cluster-down cluster-status kubeconfig

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: ## a real cluster, the operator, an app, and its first signed run
	@scripts/timed.sh start demo
	@if [ -z "$${KUBECONFIG:-}" ]; then scripts/timed.sh run "local cluster" $(CLUSTER) up; fi
	@scripts/timed.sh run "wheels" scripts/wheels.sh operator example
	@scripts/timed.sh run "images" scripts/images.sh $(IMAGES)
	@scripts/timed.sh run "demo" python3 scripts/demo.py
	@scripts/timed.sh report demo

demo-down: ## remove what `make demo` installed, keep the cluster
	@python3 scripts/demo.py --remove

test: ## everything, the cluster included
	@scripts/timed.sh start test
	@scripts/timed.sh run "tools" scripts/setup.sh
	@scripts/timed.sh run "check (no cluster)" make check
	@scripts/timed.sh run "local cluster" $(CLUSTER) up
	@scripts/timed.sh run "wheels" scripts/wheels.sh operator example
	@scripts/timed.sh run "images" scripts/images.sh $(IMAGES)
	@scripts/timed.sh run "end-to-end tests" make e2e
	@scripts/timed.sh run "faults (short form)" make faults
	@scripts/timed.sh report test

check: setup ## the fast loop without a cluster: format, lint, types, imports, tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports >/dev/null || { $(BIN)/lint-imports; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --ignore=tests/e2e --ignore=tests/browser --ignore=tests/faults

e2e: setup ## the end-to-end tests on the running local cluster
	@$(BIN)/python -m pytest -q -n 4 --dist loadscope -m "not disruptive" --durations=10 tests/e2e
	@$(BIN)/python -m pytest -q -m disruptive --durations=5 tests/e2e

fuzz: setup ## 1,000 random CronixApps on the running local cluster (the end-to-end tests take 150)
	@CRONIX_FUZZ_APPS=1000 $(BIN)/python -m pytest -q tests/e2e/test_fuzzed_apps.py

faults: setup ## the faults in short form, on API servers of their own; `make test` has them
	@$(BIN)/python -m pytest -q -n 2 tests/faults

test-faults: setup ## all faults, the slow ones too: about 9 minutes; keeps the figures in benchmarks/results/faults.json
	@CRONIX_FAULTS=whole $(BIN)/python -m pytest -q -n 2 --dist worksteal tests/faults
	@if ! $(CLUSTER) status >/dev/null 2>&1; then echo "no local cluster is up: the dead node is left out (make cluster-up)"; else \
	  scripts/wheels.sh operator example; scripts/images.sh $(IMAGES); \
	  CRONIX_FAULTS=whole $(BIN)/python -m pytest -q tests/e2e/test_node_dead.py; fi

unit: setup ## the tests that need no cluster
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --ignore=tests/e2e --ignore=tests/browser --ignore=tests/faults

test-browser: setup ## the report of `kubectl cronix` in a real browser; installs Debian's chromium if there is none
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	  [ "$$(id -u)" = 0 ] || { echo "no browser: as root, apt-get install chromium" >&2; exit 1; }; \
	  apt-get install -y -q chromium fonts-dejavu-core >/dev/null || { apt-get update -q >/dev/null && apt-get install -y -q chromium fonts-dejavu-core >/dev/null; }; }
	@$(BIN)/python -m pytest -q tests/browser

fmt: setup ## format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix --quiet .

lint: setup ## lint only
	@$(BIN)/ruff check .

type: setup ## types only
	@$(BIN)/mypy

bench: setup ## measure; tables to the terminal, raw results to benchmarks/results
	@worse=""; for bench in benchmarks/bench_*.py; do $(BIN)/python $$bench || worse="$$worse $$bench"; done; \
	  [ -z "$$worse" ] || { echo "worse than accepted, or ended early:$$worse" >&2; exit 1; }

setup: ## the development environment, by hash
	@scripts/setup.sh

lock: setup ## write the locked requirements anew from pyproject.toml
	@scripts/lock.sh

wheels: ## download the wheels that go into the images
	@scripts/wheels.sh operator example

images: wheels ## build the images and bring them into the cluster
	@scripts/images.sh $(IMAGES)

cluster-up: ## start (or repair) the local Kubernetes cluster
	@$(CLUSTER) up

cluster-down: ## stop it and give the host back as it was
	@$(CLUSTER) down

cluster-status: ## what of it runs
	@$(CLUSTER) status

kubeconfig: ## the path of its kubeconfig (use with make -s)
	@$(CLUSTER) kubeconfig
