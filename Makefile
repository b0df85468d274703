# The interface that people and CI use. Each target prints its verdict last and fails when it falls short.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLUSTER := $(PYTHON) -m dev.cluster
DAY ?= 2013-01-01
FAULTS ?= 100
AT_ONCE ?= 1
GATEWAYS ?= 1
VERSIONS ?= failing
CANARIES ?= 300

.PHONY: help demo demo-canary demo-gitops test check cluster cluster-down kubeconfig image crds bench bench-gates bench-gates-compare bench-rollback bench-canaries lock format clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "== Python environment"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -c 'import pathlib, sysconfig; p = pathlib.Path(sysconfig.get_path("purelib"), "sluice-source.pth"); p.write_text(str(pathlib.Path("operator").resolve()) + "\n")'
	@printf '#!%s/python\nfrom sluice.cli.main import main\n\nmain()\n' "$(abspath $(BIN))" > $(BIN)/sluice
	@chmod +x $(BIN)/sluice && cp $(BIN)/sluice $(BIN)/kubectl-sluice
	@touch $@

cluster: ## A cluster with the operator from this working tree (idempotent)
	@$(CLUSTER) up

cluster-down: ## End the cluster; nothing is left behind
	@$(CLUSTER) down

kubeconfig: ## Print the path of the kubeconfig
	@$(CLUSTER) kubeconfig

image: ## Build the images and load them into the cluster
	@$(CLUSTER) images

demo: $(VENV)/.installed cluster ## Run the flights pipeline for one day: make demo DAY=2013-07-04
	@eval "$$($(CLUSTER) env)" && $(BIN)/python -m dev.demo $(DAY)

demo-canary: $(VENV)/.installed ## A good version promoted and a bad one rolled back, under load (VERSIONS=all: every bad one)
	@$(CLUSTER) up --addons metrics,gateway
	@eval "$$($(CLUSTER) env)" && PYTHONPATH=examples/pricing $(BIN)/python -m dev.demo_canary $(VERSIONS)

demo-gitops: $(VENV)/.installed ## A pipeline, a good version, a bad one and its revert, by commits alone and with a real Argo CD
	@$(CLUSTER) up --addons metrics,gateway,argocd
	@eval "$$($(CLUSTER) env)" && PYTHONPATH=examples/pricing $(BIN)/python -m dev.demo_gitops

test: $(VENV)/.installed ## All tests: unit, property, and on a real cluster
	@$(CLUSTER) up --addons metrics,gateway,envoy,argocd
	@eval "$$($(CLUSTER) env)" && $(BIN)/python -m pytest tests/unit tests/cluster_harness tests/stores -n 2
	@eval "$$($(CLUSTER) env)" && $(BIN)/python -m pytest tests/cluster -m "not quiet" -n 6 --maxschedchunk=1
	@eval "$$($(CLUSTER) env)" && $(BIN)/python -m pytest tests/cluster -m quiet

check: $(VENV)/.installed ## Linters, types, layers, and whether generated files are fresh
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy operator/sluice dev examples/flights/flights examples/pricing/pricing
	@$(BIN)/lint-imports
	@$(BIN)/python -m sluice.api.crd --check
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python manifests/generate.py --check --helm "$$($(CLUSTER) helm)"
	@$(BIN)/python argocd/generate.py --check
	@$(BIN)/sluice validate examples
	@echo "check: everything holds"

crds: $(VENV)/.installed ## Generate the CRDs from the models, the manifests from the chart, and what Argo CD is told
	@$(BIN)/python -m sluice.api.crd
	@$(BIN)/python docs/generate.py
	@$(BIN)/python manifests/generate.py --helm "$$($(CLUSTER) helm)"
	@$(BIN)/python argocd/generate.py

bench: $(VENV)/.installed ## Measure the operator on the cluster
	@$(CLUSTER) up --addons kwok
	@eval "$$($(CLUSTER) env)" && $(BIN)/python -m dev.bench

bench-gates: $(VENV)/.installed ## Measure a gate of nine checks over 50 million rows
	@$(BIN)/python -m dev.bench.gates

bench-gates-compare: $(VENV)/.installed ## The same checks over 10 million rows, beside Great Expectations and pandera
	@$(BIN)/python -m dev.bench.gates_compare

bench-rollback: $(VENV)/.installed ## Measure faults until their rollback: make bench-rollback FAULTS=100 AT_ONCE=1
	@$(CLUSTER) up --addons metrics,gateway
	@eval "$$($(CLUSTER) env)" && $(BIN)/python -m dev.bench.rollback --faults $(FAULTS) --at-once $(AT_ONCE) --gateways $(GATEWAYS)

bench-canaries: $(VENV)/.installed ## Measure many canaries at once, on simulated pods: make bench-canaries CANARIES=300
	@$(CLUSTER) up --addons kwok,metrics
	@eval "$$($(CLUSTER) env)" && $(BIN)/python -m dev.bench.canaries --canaries $(CANARIES)

lock: ## Resolve the dependencies anew
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra dev --extra examples --extra gates pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements-operator.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra gates pyproject.toml -o requirements-gates.lock

format: $(VENV)/.installed ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove what the build left in this folder
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
