# Every target sets up what it needs. `make` alone lists them.
PYTHON ?= python3.11
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint type pytest compile benchmarks images manifests format lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/ —/' | sort

setup:  ## make both environments, fetch the data set and the encoder weights
	@command -v $(PYTHON) >/dev/null || { echo "counterpoint set-up: $(PYTHON) is not on the PATH; install Python 3.11 or run 'make PYTHON=/path/to/python3.11 …'." >&2; exit 7; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v in ((3, 11), (3, 12)) or sys.exit("counterpoint set-up: $(PYTHON) is Python %d.%d; 3.11 or 3.12 is needed. Run: make PYTHON=python3.11 ..." % v)'
	@$(PYTHON) requirements/install.py

demo: setup  ## MovieLens-100K from raw ratings to answers over Triton gRPC
	@$(BIN)/counterpoint demo

test: setup lint type pytest  ## ruff, mypy, import-linter and pytest: what CI runs

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m pip check

type:
	$(BIN)/mypy

pytest:
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: setup  ## the heavy tests, second stage of CI
	$(BIN)/python -m pytest -m slow

compile: setup  ## compile every pipeline to build/pipelines
	$(BIN)/counterpoint compile --output build/pipelines

benchmarks: setup  ## quality, serving and monitoring tables of the README
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.monitoring

images:  ## build the container images (buildah, podman or docker; docs/kubernetes.md)
	components/build.sh

manifests: setup  ## print what the production overlay applies
	@$(BIN)/kubectl kustomize k8s/overlays/prod

format:  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## resolve requirements/lock.txt anew from the ranges of pyproject.toml
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install --quiet '.[data,train,pipelines,serve,monitor,dev]'
	{ echo "# Exact versions of the main environment. Renew with: make lock"; build/lock/bin/pip freeze --all --exclude counterpoint --exclude pip | sed -E 's/\+cpu$$//'; } > requirements/lock.txt

clean:  ## remove state and environments
	rm -rf var build .venv .venv-triton
