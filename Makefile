# make report   train the embedded market with the quick profile and build the book
# make test     run all tests, notebooks included
# make check    format, lint, types, import ladder, tests: what a change must pass
# make lock     renew requirements.lock from a fresh environment

PYTHON ?= python3
JOBS ?= 0
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# test files side by side in up to four processes, one per processor
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: report test check format lock

report: $(STAMP)
	$(BIN)/llmrl run --dataset data/embedded --profile quick --out runs/embedded --jobs $(JOBS)
	$(BIN)/llmrl book runs/embedded

test: $(STAMP)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llmrl needs Python 3.11 or later, this is " + sys.version.split()[0] + "; give another with: make PYTHON=python3.11")'
	@echo "Installing into $(VENV) from requirements.lock (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet hatchling editables
	build/lock/bin/python -m pip install --quiet --no-build-isolation -e ".[dev]"
	@{ echo "# Every package that the tests ran with. Renew with: make lock"; \
	   echo "# torch brings its own CUDA libraries where the platform has them, so those are not named here."; \
	   build/lock/bin/python -m pip freeze --all --exclude-editable | grep -v -i -E '^(nvidia|cuda|triton|pip=)' \
	   | sed -E 's/^(torch==[0-9.]+).*/\1/'; } > requirements.lock
	rm -rf build/lock
