# Eureka Audio Platform. `make help` lists what can be made.
# The environment lives in .venv/, set up once; a stamp file says for what it was set up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Any of these that runs will do; torch has CPU wheels for 3.11 in more places.
PYTHONS := python3.11 python3.12 python3
# Speech engines of Debian: the demo speaks with them, some tests too, training is built on them.
DEBIAN_PACKAGES := espeak-ng libespeak-ng1 flite
# A real S3 server: what is said of object stores is tested against one.
S3_PACKAGES := radosgw ceph-mon ceph-osd
# Compiles the native kernels, and runs them as older processors would; without it ONNX Runtime computes.
KERNEL_PACKAGES := g++ qemu-user
# The queue of jobs, in the local stack and in tests.
QUEUE_PACKAGES := redis-server
# promtool, which reads alerts and dashboards and makes alerts fire in tests.
ALERT_PACKAGES := prometheus
# Builds images and runs them; debootstrap makes their base where no registry is reached.
IMAGE_PACKAGES := docker.io docker-compose debootstrap
# Helm for the tests of the chart: its package needs a newer Python than ours may be, so it has its own place.
HELM_VENV := .venv-helm
HELM_PACKAGES := helm-sdkpy==0.1.32 cffi==2.1.1 pycparser==3.12
HELM_PYTHONS := python3.12 python3.13 python3.14 $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1[2-9]*/bin/python3)
# Checks the protos in `make lint`; its version is in protos/package.json.
BUF := protos/node_modules/.bin/buf
BUF_STAMP := protos/node_modules/.ready

# One thread a process: more of them on few cores cost more than they bring. Nothing asks a hub.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTEST := $(BIN)/python -m pytest

.PHONY: kernel-tools help demo test test-large test-images chaos lint render images image-requirements helm image-tools bench bench-peers bench-gpu bench-serving bench-jobs clean speech-engines queue-server s3-server alert-tools buf

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.ready-demo speech-engines queue-server ## hear a sample made on the spot (SEED=n), or a file (AUDIO=path)
	@$(BIN)/python -m eureka.cli.demo $(if $(SEED),--seed $(SEED)) $(if $(AUDIO),--audio "$(AUDIO)") --served

test: kernel-tools $(VENV)/.ready-dev speech-engines queue-server s3-server alert-tools helm ## all tests but the large and the slow ones
	@$(PYTEST) -n 2 --dist loadfile

test-large: kernel-tools $(VENV)/.ready-dev ## a random checkpoint in the shape of the 1.7B model (6 GB of disk), an hour of audio
	@$(PYTEST) -m large --timeout 1800

test-images: $(VENV)/.ready-dev image-tools ## build the CPU images, run the platform in them by compose (root, or a running engine)
	@$(PYTEST) tests/images -m images -p no:xdist --timeout 1800

chaos: kernel-tools $(VENV)/.ready-dev queue-server s3-server ## kill parts of the running stack, soak it: tests too slow for every day
	@$(PYTEST) -m slow --timeout 1800

lint: $(VENV)/.ready-dev buf ## style, types, import floors and protos
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python protos/generate.py --check
	@if [ -x $(BUF) ]; then \
	  cd protos && ../$(BUF) lint && ../$(BUF) breaking --against released.binpb; \
	elif [ "$${CI:-}" = true ]; then \
	  echo "buf is not there, and CI=true demands it" >&2; exit 1; \
	fi

render: $(VENV)/.ready-dev helm ## the Helm chart with each of its values files into build/chart/
	@PYTHONPATH=. $(BIN)/python -m tests.helpers.render_chart

images: $(BIN)/python ## the container images eureka-service, eureka-worker, eureka-triton (NAMES=worker, GPU=1)
	@$(BIN)/python docker/build.py $(NAMES) $(if $(GPU),--gpu)

image-requirements: $(BIN)/python ## what the images install, anew from constraints.txt, with hashes
	@$(BIN)/python docker/requirements.py

bench: $(VENV)/.ready-dev ## speed and sameness into benchmarks/results.json, and two pictures (ONLY=C1,C3)
	@$(BIN)/python benchmarks/bench.py $(if $(ONLY),--only $(ONLY))
	@$(if $(ONLY),,$(BIN)/python benchmarks/growth.py >/dev/null)

bench-peers: $(VENV)/.ready-dev ## speed against llama.cpp (built from source) and onnxruntime-genai
	@$(BIN)/python benchmarks/peers.py

bench-gpu: $(VENV)/.ready-dev ## the goals on a GPU, in the shape of the 1.7B model (6 GB of disk; ONLY=H1,H4)
	@PYTHONPATH=.:benchmarks $(BIN)/python -m gpu.bench_gpu $(if $(ONLY),--only $(ONLY))

bench-serving: $(VENV)/.ready-dev ## the local stack against the engine in one process, 1 to 64 streams
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/serving.py

bench-jobs: $(VENV)/.ready-dev speech-engines queue-server s3-server ## jobs against the engine in one process, beside callers, in long lists
	@$(BIN)/python benchmarks/jobs.py $(if $(ONLY),--only $(ONLY))

clean: ## remove caches and build outputs; .venv, .cache and runs stay
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What the demo needs, and what developers need. Both install the package in place (editable).
$(VENV)/.ready-demo: EXTRA := demo
$(VENV)/.ready-dev: EXTRA := dev
$(VENV)/.ready-demo $(VENV)/.ready-dev: pyproject.toml constraints.txt setup.py $(wildcard src/eureka/engine/native/csrc/*) | $(BIN)/python
	@echo "Installing the packages of [$(EXTRA)] into $(VENV)/ (once; some minutes on a slow line)"
	@$(BIN)/python -m pip install --quiet -c constraints.txt pybind11 setuptools
	@$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[$(EXTRA)]"
	@touch $@

$(BIN)/python:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then \
	    found=$$python; break; \
	  fi; \
	done; \
	if [ -z "$${found:-}" ]; then echo "Python 3.11 or 3.12 is needed; looked for: $(PYTHONS)" >&2; exit 1; fi; \
	if ! $$found -c 'import ensurepip' 2>/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
	fi; \
	echo "Setting up $(VENV)/ with $$found"; \
	$$found -m venv $(VENV)

# Never fails: without it the tests of the chart skip by name, or fail where CI=true.
helm:
	@if [ "$$(cat $(HELM_VENV)/.ready 2>/dev/null)" = "$(HELM_PACKAGES)" ]; then exit 0; fi; \
	for python in $(HELM_PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info[:2] < (3, 12))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "Left out: tests of the Helm chart (Python 3.12 or later; looked for: $(HELM_PYTHONS))"; exit 0; \
	fi; \
	echo "Installing Helm into $(HELM_VENV)/ (once)"; \
	$$found -m venv --clear $(HELM_VENV) && \
	  $(HELM_VENV)/bin/python -m pip install --quiet --no-deps $(HELM_PACKAGES) && \
	  echo "$(HELM_PACKAGES)" > $(HELM_VENV)/.ready || echo "Left out: tests of the Helm chart (Helm was not installed)"

# Never fails: without the engines the demo takes its recorded clip, and tests skip by name.
speech-engines:
	@if command -v espeak-ng >/dev/null && command -v flite >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages: $(DEBIAN_PACKAGES)"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null; } || true; \
	fi; \
	for engine in espeak-ng flite; do \
	  command -v $$engine >/dev/null || \
	    echo "Left out: synthetic speech by $$engine (not installed; Debian package $$engine)"; \
	done

# Never fails: without a compiler the package installs all the same, and the tests of the kernels skip by name.
kernel-tools:
	@if command -v g++ >/dev/null && command -v qemu-x86_64 >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages: $(KERNEL_PACKAGES)"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(KERNEL_PACKAGES) >/dev/null; } || true; \
	fi; \
	command -v g++ >/dev/null || echo "Left out: the native kernels (no C++ compiler; Debian package g++)"

# Never fails: without an engine the tests of images skip by name, or fail where CI=true.
image-tools:
	@if command -v dockerd >/dev/null && command -v docker-compose >/dev/null; then exit 0; fi; \
	if docker version >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages: $(IMAGE_PACKAGES)"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(IMAGE_PACKAGES) >/dev/null; } || true; \
	fi; \
	command -v docker >/dev/null || echo "Left out: images (no container engine; Debian $(IMAGE_PACKAGES))"

# Never fails: without it the tests of S3 skip by name, or fail where CI=true.
s3-server:
	@if command -v radosgw >/dev/null && command -v ceph-osd >/dev/null; then exit 0; fi; \
	if [ -n "$${S3_TEST_ENDPOINT:-}" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages: $(S3_PACKAGES) (about a minute)"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(S3_PACKAGES) >/dev/null; } || true; \
	fi; \
	command -v radosgw >/dev/null || echo "Left out: tests of S3 (not installed; Debian $(S3_PACKAGES))"

# Never fails: without it the stack runs without jobs, and their tests skip by name, or fail where CI=true.
queue-server:
	@if command -v redis-server >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages: $(QUEUE_PACKAGES)"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(QUEUE_PACKAGES) >/dev/null; } || true; \
	fi; \
	command -v redis-server >/dev/null || echo "Left out: jobs on workers (not installed; Debian $(QUEUE_PACKAGES))"

# Never fails: without it the tests of alerts skip by name, or fail where CI=true.
alert-tools:
	@if command -v promtool >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages: $(ALERT_PACKAGES)"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(ALERT_PACKAGES) >/dev/null; } || true; \
	fi; \
	command -v promtool >/dev/null || echo "Left out: tests of alerts (not installed; Debian $(ALERT_PACKAGES))"

# Never fails: where npm is missing `lint` leaves the protos' style out, unless CI=true.
buf:
	@if [ $(BUF_STAMP) -nt protos/package.json ]; then exit 0; fi; \
	if ! command -v npm >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian packages: nodejs npm"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; } || true; \
	fi; \
	if command -v npm >/dev/null; then \
	  echo "Installing buf into protos/node_modules/ (once)"; \
	  (cd protos && npm install --silent --no-audit --no-fund --no-package-lock) && touch $(BUF_STAMP) || true; \
	fi; \
	[ -x $(BUF) ] || echo "Left out: style and compatibility of the protos (no buf: npm is not installed)"
