# Every command of the project. `make help` lists them; each bootstraps `.venv` from python3 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MEMBERS := proto/python service worker clients/python

SCENARIO ?= both
DRIVER ?= sqlite
BENCH_OPTIONS = $(if $(filter-out 0,$(JSON)),--json) $(if $(filter-out 0,$(AUTH)),--auth) $(if $(filter-out 0,$(TLS)),--tls) \
	$(if $(TRACING),--tracing $(TRACING)) $(if $(filter-out 0,$(METRICS)),--metrics) $(if $(PAIRS),--pairs $(PAIRS)) $(if $(AGAINST),--against $(AGAINST))

export UV_PYTHON_DOWNLOADS = never
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1
# The virtual environment of whoever calls us is not ours.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH
# Container images set it; without bytecode each of the many programs that tests start compiles for 2.3 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-polyglot test check fast chart interop format generate baseline bench bench-peers bench-check chaos lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Dispatch and run real jobs, and see what became of them
	@$(BIN)/python -m examples.demo

demo-polyglot: $(READY) ## Let jobs pass through the clients of all languages that are on this machine
	@$(BIN)/python -m examples.polyglot

test: $(READY) ## Run everything: the checks and the whole test suite
	@$(BIN)/python tests/run

check: $(READY) ## Run format, lint, types, imports, contract and the fast tests, in under 2 minutes
	@$(BIN)/python tests/run --check

fast: $(READY) ## Run the fast tests only
	@$(BIN)/python tests/run --fast

chart: $(READY) ## Lint, render and judge the Helm chart; FULL=1: by a real API server, too
	@$(BIN)/python deploy/helm/generate.py --check
	@$(BIN)/pytest -q tests/chart -n 2
	@$(if $(filter-out 0,$(FULL)),$(BIN)/python -m tests.chart)

interop: $(READY) ## Let the clients of all languages work together, and print which requirements they keep: ARGS="-k go"
	@$(BIN)/python -m tests.interop $(ARGS)

format: $(READY) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

generate: $(READY) ## Generate the code of the contract in every language, its golden vectors, and the pages made from code
	@$(BIN)/python proto/generate
	@$(BIN)/python proto/vectors.py
	@$(BIN)/python docs/generate.py
	@$(BIN)/python deploy/helm/generate.py
	@for each in clients/*/generate; do [ ! -x "$$each" ] || "$$each" || [ $$? = 69 ] || exit 1; done

baseline: $(READY) ## Store the contract that later changes must stay compatible with (at a release)
	@$(BIN)/python proto/generate --baseline

bench: $(READY) ## Measure: SCENARIO=both|drain|... DRIVER=sqlite|postgres|mariadb JSON=1, CLIENTS=1, and what docs/benchmarks.md has
ifneq ($(filter-out 0,$(CLIENTS)),)
	@$(BIN)/python -m benchmarks.clients $(if $(filter-out 0,$(JSON)),--json) $(ARGS)
else
	@$(BIN)/python -m benchmarks --scenario $(SCENARIO) --driver $(DRIVER) $(BENCH_OPTIONS) $(ARGS)
endif

bench-peers: $(READY) ## Measure other job queues beside ours, those that this machine can have: JSON=1 ARGS='--only river'
	@$(BIN)/python -m benchmarks.peers $(if $(filter-out 0,$(JSON)),--json) $(ARGS)

bench-check: $(READY) ## Fail if CPU per job is 10 % above that of another checkout: AGAINST=../main ARGS='--driver sqlite'
	@$(BIN)/python -m benchmarks.check $(if $(AGAINST),--against $(AGAINST)) $(ARGS)

chaos: $(READY) ## Kill servers, workers and brokers in turn under load, and judge the history: ARGS='--driver postgres --jobs 1000000'
	@$(BIN)/python -m tests.chaos $(ARGS)

lock: $(READY) ## Take the newest dependencies that the pyprojects allow
	$(BIN)/uv lock --quiet --upgrade
	$(BIN)/uv export --quiet --all-packages --all-extras --all-groups --no-emit-workspace --no-header --no-annotate \
		--output-file requirements.lock
	@$(MAKE) --no-print-directory $(READY)

clean: ## Remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml $(MEMBERS:%=%/pyproject.toml) | $(BIN)/uv
	@echo "setting up $(VENV) ..."
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(MEMBERS:%=--editable %)
	@touch $@

# uv comes from the index like the rest, at the locked version. Debian keeps ensurepip in a package of its own.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv >/dev/null; } || \
		{ echo "Python's venv is missing; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
