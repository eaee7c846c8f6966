# Everything runs in .venv, made with the first Python 3.11 to 3.13 found; PYTHON=/path/to/python chooses one.
EXTRAS := tensorflow,export,report,baselines,search,sql
WORKERS ?= 2
ARGS ?=
BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
OF_NETWORKS := tests/estimators tests/networks tests/test_contract.py
OF_BACKENDS := tests/test_contract.py tests/estimators/test_laws.py tests/estimators/test_members.py tests/estimators/test_gradients.py
OF_FAULTS := tests/faults tests/estimators/test_random_graphs.py tests/scoring/test_ray.py
# a second call installs again only when one of these has changed
PINS := pyproject.toml constraints.txt

.PHONY: help demo test contract faults lint types floors docs check

help:
	@echo "make demo      install, then find card fraud in synthetic transactions and report on it"
	@echo "make test      install with the developers' tools, then run every test, the contract and the laws on JAX too (ARGS=... goes to pytest)"
	@echo "make contract  scikit-learn's checks and the laws on every network, on TensorFlow and on JAX (long)"
	@echo "make faults    a night of kills, full disks and broken files: ten times those of make test (long)"
	@echo "make docs      the reference as docs/_build/index.html; make test runs every example in it"
	@echo "make check     lint, types, floors (who may import whom) and docs"

demo: $(BIN)/installed-demo
	@$(BIN)/fintech-dl run fraud

# three starts: TensorFlow never gives back what a compiled network took; all run, whichever fails
test: $(BIN)/installed-dev
ifneq ($(ARGS),)
	@$(PYTEST) $(ARGS)
else
	@kept=$$(mktemp -d) && trap 'rm -rf "$$kept"' EXIT && failed=0; \
	$(PYTEST) $(OF_NETWORKS) || failed=1; \
	$(PYTEST) $(addprefix --ignore=,$(OF_NETWORKS)) || failed=1; \
	KERAS_BACKEND=jax JAX_COMPILATION_CACHE_DIR=$$kept \
	  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1 \
	  $(PYTEST) $(OF_BACKENDS) || failed=1; \
	exit $$failed
endif

contract: $(BIN)/installed-dev
	@for backend in tensorflow jax; do \
	  KERAS_BACKEND=$$backend FINTECH_DL_CONTRACT=all \
	    $(PYTEST) $(OF_BACKENDS) $(ARGS) || exit 1; \
	done

faults: $(BIN)/installed-dev
	@FINTECH_DL_FAULTS=nightly $(PYTEST) $(OF_FAULTS) $(ARGS)

check: lint types floors docs

lint: $(BIN)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(BIN)/installed-dev
	@$(BIN)/mypy

floors: $(BIN)/installed-dev
	@$(BIN)/lint-imports

docs: $(BIN)/installed-dev
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs docs/_build

$(BIN)/installed-demo: $(PINS) | $(BIN)/made
	@echo "Installing into .venv (once; TensorFlow is large, so this takes a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

$(BIN)/installed-dev: $(PINS) | $(BIN)/made
	@echo "Installing into .venv with the developers' tools (once; takes a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all,dev]"
	@touch $(BIN)/installed-demo $@

$(BIN)/made:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	  "$$python" -c "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" \
	    2>/dev/null && break; \
	  python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "This needs Python 3.11, 3.12 or 3.13 with its venv module; tried:" \
	    "$(or $(PYTHON),python3.13 python3.12 python3.11 python3)." >&2; \
	  echo "Debian, Ubuntu: apt install python3-venv. Or name one: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	"$$python" -m venv .venv
	@touch $@
