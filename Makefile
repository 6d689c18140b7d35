# Every target works from a fresh clone: the first one that needs Python creates .venv; later ones reuse it
# and call no installer until pyproject.toml, setup.py or constraints.txt change.

PYTHON   ?= python3
VENV     ?= .venv
DEMO_DIR ?= .demo
TASK     ?= w4a16_gemm
CASES    ?= 1000
# How pytest spreads over cores; `make test WORKERS=0` runs in one process.
WORKERS  ?= auto

BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.setup-done
VM_BUILT  := $(VENV)/.vm-built
VM_SOURCE := $(wildcard sandbox/emulator/vm/*.cpp sandbox/emulator/vm/*.h sandbox/emulator/vm/*.inc)
# A file stays on one worker, so that what its fixtures build is built once.
PYTEST    := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# Tests start hundreds of processes: each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup consumers demo demo-replay test test-full fuzz fuzz-guided sanitize gpu lint clean

help:  ## Show this text
	@echo "warpsmith: kernels written by agents and proved by a gate, with no GPU. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
	@echo "Variables: PYTHON=$(PYTHON) DEMO_DIR=$(DEMO_DIR) TASK=$(TASK) WORKERS=$(WORKERS)"

setup: $(VM_BUILT)  ## Create .venv, install everything and build the emulator's VM

$(INSTALLED): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "warpsmith needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "[set-up] installing warpsmith and its exact dependencies into $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# The library carries a digest of the sources it was built from; loading it checks that.
$(VM_BUILT): $(INSTALLED) $(VM_SOURCE)
	@$(BIN)/python -c 'from warpsmith.sandbox.emulator.vm.bindings import library; library()' 2>/dev/null || { \
	  echo "[set-up] building the emulator's VM (a minute or two)"; log=$$(mktemp); \
	  $(BIN)/python setup.py --quiet build_ext --inplace --force >$$log 2>&1 || { cat $$log >&2; rm -f $$log; \
	  echo "The VM did not build; it needs a C++17 compiler: g++ or clang++." >&2; exit 1; }; rm -f $$log; }
	@touch $@

# flashinfer-bench without what it depends on: that is for GPUs, and what tests use of it needs only safetensors.
consumers: $(INSTALLED)  ## Install the projects that exports are for, so that tests load exports with them
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt kernels safetensors
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps flashinfer-bench

demo: $(VM_BUILT)  ## Optimise a quantized GEMM with no GPU and no API key; results in DEMO_DIR
	@mkdir -p $(DEMO_DIR)
	$(BIN)/warpsmith optimize $(TASK) --store $(DEMO_DIR)/store.sqlite --library $(DEMO_DIR)/library

# A recorded run of a language model, from `warpsmith runs export`.
RECORDING ?= $(wildcard examples/runs/spconv_forward.jsonl)
demo-replay: $(VM_BUILT)  ## Replay a recorded run of a language model, offline and with no key
	@test -n "$(RECORDING)" || { echo "no recording: give RECORDING=FILE, written by warpsmith runs export" >&2; exit 2; }
	@mkdir -p $(DEMO_DIR)
	$(BIN)/warpsmith replay $(RECORDING) --store $(DEMO_DIR)/replay.sqlite --library $(DEMO_DIR)/replay-library

test: $(VM_BUILT)  ## Run the quick suite
	$(PYTEST) -m "not full and not gpu"

# pytest ends with 5 where no test carries the mark; that is no failure.
test-full: $(VM_BUILT)  ## Run the long tests the quick suite leaves out
	$(PYTEST) -m "full and not gpu" || test $$? -eq 5

fuzz: $(VM_BUILT)  ## Feed CASES damaged texts to each parser, the plan, the wire and the VM (FUZZ="--seed 7 vm" says more)
	$(BIN)/python -m tests.fuzzing --cases $(CASES) $(FUZZ)

GUIDED ?= kernel-file expression ptx wire
fuzz-guided: $(VM_BUILT)  ## The same led by coverage (atheris), CASES for each of GUIDED
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt atheris
	for target in $(GUIDED); do $(BIN)/python -m tests.fuzzing.guided $$target --cases $(CASES) || exit 1; done

# A build of its own under build/sanitize: the ordinary library stays as it is.
sanitize: $(INSTALLED)  ## Run the emulator's conformance suite under AddressSanitizer and UBSan (3 minutes; needs g++)
	$(BIN)/python tests/sanitize.py -- -n $(WORKERS) --dist loadfile

# Installs nothing and takes the Python it finds: the environment's where there is one.
gpu:  ## Do everything that needs a GPU, in eight minutes; results in GPU_OUT
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu.py $(if $(GPU_OUT),--out '$(GPU_OUT)')

lint: $(VM_BUILT)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## Remove .venv, builds, caches and the demo's results
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo
	find sandbox -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
