# Every target makes what it needs: nothing has to be on the machine but python3 with venv, and make.
PYTHON ?= python3
BIN := .venv/bin
NEWEST := .venv-newest-redis/bin
# Environments of frameworks that are clients of the gateway. Without them those tests are skipped.
FRAMEWORKS := .venv-frameworks/installed .venv-llama-index/installed
# Tests wait more than they compute: five at a time keep two cores busy.
BESIDE := --numprocesses 5 --dist worksteal

# Whatever stands in the directory was perhaps made by a Python that is too old.
define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "tailrace needs Python 3.11 or newer, and $(PYTHON) is not: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@test "$$($(1)/bin/python -V 2>&1)" = "$$($(PYTHON) -V 2>&1)" || rm -rf $(1)
	@$(PYTHON) -m venv $(1)
endef

# Dependency groups need pip 25.1, and a Python's own pip may be older.
GROUPS_PIP := pip>=25.1

.PHONY: demo dev test test-fast coverage check docs format clean

demo: .venv/demo-installed  ## two answers stream side by side, a third is cancelled
	@$(BIN)/tailrace demo

dev: .venv/demo-installed  ## Valkey, a simulator, two workers and the gateway, until Ctrl-C; the data stays in .tailrace
	@$(BIN)/tailrace dev

test: .venv/installed .venv-newest-redis/installed $(FRAMEWORKS) .node/installed  ## the whole suite, and the producer's side on the newest redis-py
	$(BIN)/python -m pytest $(BESIDE)
	$(NEWEST)/python -m pytest tests/producer $(BESIDE)

test-fast: .venv/installed  ## what needs neither a server nor a process, in less than half a minute
	$(BIN)/python -m pytest -m 'not redis and not process and not slow' --hypothesis-profile fast --numprocesses 2 --dist worksteal

coverage: .venv/installed $(FRAMEWORKS) .node/installed  ## the whole suite, and which lines and branches it runs
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(BESIDE)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: .venv/installed  ## style, types, and the import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright --verifytypes tailrace --ignoreexternal
	$(BIN)/lint-imports

docs: .venv/installed  ## the documentation, in docs/_build/html: a warning is an error
	$(BIN)/python -m sphinx --builder html --fresh-env --fail-on-warning --keep-going --nitpicky --quiet \
		docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .coverage .node .venv .venv-frameworks .venv-llama-index .venv-newest-redis docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/demo-installed: pyproject.toml constraints.txt
	$(call make_venv,.venv)
	@echo "Installing what the demo needs into .venv, which takes about a minute ..."
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

.venv/installed: pyproject.toml constraints.txt
	$(call make_venv,.venv)
	@echo "Installing what tests and checks need into .venv, which takes a minute or two ..."
	@$(BIN)/python -m pip install --quiet '$(GROUPS_PIP)'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]' --group dev
	touch $@ .venv/demo-installed

# arq holds redis below 6; the light side, which knows nothing of arq, has to run on the newest as well.
.venv-newest-redis/installed: pyproject.toml constraints.txt constraints-newest-redis.txt
	$(call make_venv,.venv-newest-redis)
	@$(NEWEST)/python -m pip install --quiet '$(GROUPS_PIP)'
	$(NEWEST)/python -m pip install --quiet --constraint constraints-newest-redis.txt --editable '.[cli,gateway]' --group test
	touch $@

$(FRAMEWORKS): .venv-%/installed: pyproject.toml constraints-%.txt
	$(call make_venv,.venv-$*)
	@echo "Installing frameworks, which tests use as clients, into .venv-$* ..."
	@.venv-$*/bin/python -m pip install --quiet '$(GROUPS_PIP)'
	.venv-$*/bin/python -m pip install --quiet --constraint constraints-$*.txt --group $*
	touch $@

# Clients in JavaScript, which tests drive. Without npm those tests are skipped.
.node/installed: tests/node/package.json
	@mkdir -p .node
	@cp $< .node/package.json
	@if command -v npm >/dev/null; then \
		npm install --prefix .node --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel error && touch $@; \
	else echo "npm is not installed: the tests that need it will be skipped."; fi
