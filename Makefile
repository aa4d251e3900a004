# The words of this project: setup demo test check bench fuzz fmt docs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ONLY ?=
JOBS ?= 2
FOR ?= 120

.PHONY: setup demo test check bench fuzz fmt docs lock clean

setup: $(STAMP)

# Everything is pinned by hash in requirements.lock, which is complete; the project itself is installed in place.
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "filmroom needs Python 3.11 to 3.13; set PYTHON=... (this is %d.%d)" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup
	$(BIN)/python -m filmroom demo

test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: setup
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

bench: setup
	$(BIN)/python -m bench $(ONLY)

# Optional: atheris is for Linux only and not among the pinned packages. FOR is in seconds, for each target.
fuzz: setup
	$(BIN)/python -m tests.fuzz $(FOR) $(ONLY)

fmt: setup
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

# Pages that are generated from the code's own tables; a test checks that they are up to date.
docs: setup
	$(BIN)/python docs/generate.py

# For maintainers: resolve pyproject.toml anew. Of the two OpenCV, one is enough (docs/adr/0016-one-opencv.md).
lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
	  --no-emit-package opencv-python --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build dist
