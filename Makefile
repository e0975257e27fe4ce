# Every target sets itself up: only Python 3.11 or newer and make are needed.
PYTHON ?= python3
WORKERS ?= 2
ARGS ?= --preset quick
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
SOURCES := tnqrnn studies benchmarks tests

# One thread a process: the tests run in WORKERS processes side by side.
TEST_ENV := MPLBACKEND=Agg PYTHONHASHSEED=0 OMP_NUM_THREADS=1
THREADS := --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1
PYTEST := $(TEST_ENV) XLA_FLAGS="$(THREADS)" $(BIN)/python -m pytest
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Most of the suite's time is XLA's compiler. Tests marked as_users run programs compiled
# as users compile them; the others are compiled sooner, by other emitters, hardly
# optimised and in one piece.
QUICKLY := $(TEST_ENV) JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS="$(THREADS) \
  --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1" \
  $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup peers study test test-long lint format type doctest pytest bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' \
	  | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY)  ## make .venv with the pinned packages and this one, editable

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt hatchling
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[dev]"
	@touch $@

peers: $(PEERS)/.ready  ## make .venv-peers with the libraries of the benchmarks

$(PEERS)/.ready: pyproject.toml constraints-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet -c constraints-peers.txt ".[peers]"
	@touch $@

study: $(READY)  ## accuracy against qubits and backend on real digits (ARGS="--preset full")
	$(BIN)/python studies/accuracy.py $(ARGS)

test: lint type doctest pytest  ## all that CI runs

pytest: $(READY)
	$(PYTEST) -n $(WORKERS) --dist worksteal -m "as_users and not long" tests
	$(QUICKLY) $(SIDE_BY_SIDE) -m "not as_users and not long" --durations 20 \
	  tests/test_studies.py tests  # the longest file first

test-long: $(READY)  ## longer searches of the same properties
	HYPOTHESIS_PROFILE=long $(PYTEST) $(SIDE_BY_SIDE) --timeout 3600 -m "long or hypothesis"

lint: $(READY)  ## style and format, nothing is changed
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

format: $(READY)  ## mend style and format in place
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

type: $(READY)  ## check the types
	$(BIN)/mypy

doctest: $(READY)  ## run the examples in docstrings, docs/ and README.md
	$(PYTEST) -q --doctest-modules --doctest-glob="*.md" tnqrnn docs README.md

# Short ones that need no other library; `make peers` comes before gradient_ and mps_step.py.
BENCHMARKS := benchmarks/backends.py benchmarks/engine_rate.py benchmarks/mps_compile.py \
  benchmarks/network_step.py

bench: $(READY)  ## run the short benchmarks of this library alone, each prints its table
	set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

clean:  ## remove the virtual environment and every cache (not runs/)
	rm -rf $(VENV) $(PEERS) dist build .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
