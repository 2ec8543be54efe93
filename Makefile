# make demo, make test, make test-all, make test-slow, make test-mariadb, make test-warehouses, make lint, make docs,
# make tutorial, make e2e, make chaos, make test-matrix, make test-lowest. Each creates .venv by itself; nothing is needed
# but Python 3.11+ and make.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
WORKERS ?= 3
BIN := $(VENV)/bin
WAREHOUSES := .venv-warehouses
PACKAGE := .[sql,sandbox]
# The address of a package index, if any, is the installer's own affair. uv takes seconds where pip takes two minutes, so
# pip installs it first. uv reads no pip.conf; where it finds nothing pip is asked. Without uv: make UV=
UV ?= $(shell command -v uv || ls $(CURDIR)/$(VENV)/bin/uv 2>/dev/null)
export UV
# Without compiled files each process compiles what it imports: Airflow, the package, and the rewritten tests.
override PYTHONDONTWRITEBYTECODE :=
export PYTHONDONTWRITEBYTECODE
install = $(if $(UV),$(UV) pip install --python $(BIN)/python --quiet --constraint constraints.txt $(1) || )\
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(1)
install_warehouses = $(if $(UV),$(UV) pip install --python $(WAREHOUSES)/bin/python --quiet \
	--constraint constraints/warehouses.txt $(1) || )$(WAREHOUSES)/bin/python -m pip install --quiet \
	--disable-pip-version-check --constraint constraints/warehouses.txt $(1)

.PHONY: demo test test-all test-slow test-mariadb test-warehouses test-matrix test-lowest lint docs tutorial mutations e2e e2e-celery e2e-mutations chaos clean

demo: $(VENV)/installed
	$(BIN)/python demo/run.py

# Several processes, since many tests wait: for a window, a state, a killed task. Each takes the next test (tests/conftest.py).
# DATABASES=all: every test of a journal on every database.
test: $(VENV)/installed-dev
	$(if $(DATABASES),CONNECTIF_DATABASES=$(DATABASES) )$(BIN)/python -m pytest --numprocesses $(WORKERS) \
		--dist loadscope --no-loadscope-reorder

# Also slow tests, every variant of each test, and what takes as many rows as a real night: an hour.
test-all: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder -m 'not mutations'

# Slow tests that CI runs all the same: every block of the docs, the rate limit, journals that are shared or killed.
SLOW_TESTS ?= $(addprefix tests/integration/,test_docs_blocks.py test_rate_limit.py test_pooled_journal.py \
	test_journal_faults.py test_decorator.py)
test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder \
		-m 'slow and not full_size and not tutorial' $(SLOW_TESTS)

# Journals in MariaDB: tests of what differs between databases. Needs mariadb-server-core,
# mariadb-client-core, a C compiler, libmariadb-dev.
# `make test DATABASES=all` takes every test of a journal there, too, once the driver is installed.
MARIADB_TESTS ?= $(addprefix tests/integration/,test_journal.py test_journal_database.py test_journal_of_mysql.py \
	truth/test_journal_tables.py)
test-mariadb: $(VENV)/installed-mysql
	CONNECTIF_DATABASES=mysql $(BIN)/python -m pytest --numprocesses 2 -m 'not full_size' -k mysql $(MARIADB_TESTS)

# Every database that can be tried on one machine, with its driver, in a virtual environment of its own; writes the table of
# docs/databases.md. Some minutes. MySQL needs MariaDB's server, and a C compiler with its client's headers.
test-warehouses: $(WAREHOUSES)/installed
	$(WAREHOUSES)/bin/python -m pytest tests/warehouses --numprocesses 2 --write-table

# Takes each defence of the threat model, each row of the response policy and each error path of a stage out of a copy of
# the package: its test must fail. Some minutes; ONLY=lease takes those whose name has that word in it.
mutations: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses 2 -m mutations tests/security tests/unit/test_mutations.py $(if $(ONLY),-k "$(ONLY)")

# A whole Airflow on PostgreSQL, with the wheel installed in .venv-e2e; some minutes, and a table at the end.
e2e: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/e2e -m 'not celery'

# The same with two Celery workers; Redis comes as a wheel.
e2e-celery: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/e2e -m celery

# Nine ways to break the package, each of which a scenario or a night must notice.
e2e-mutations: $(VENV)/installed-dev
	$(BIN)/python -m tests.e2e.mutations

# Nights in which everything dies at random moments; SEED=17 plays one of them again.
SEEDS ?= 10
chaos: $(VENV)/installed-dev
	$(BIN)/python -m tests.e2e.chaos $(if $(SEED),$(addprefix --seed ,$(SEED)),--seeds $(SEEDS))

# Every supported Airflow and Python, each in a virtual environment below .nox; writes docs/versions.md.
test-matrix: $(VENV)/installed-dev
	rm -rf .nox/results
	$(BIN)/python -m nox --session matrix table

# The lowest pair only; docs/versions.md stays as it is.
test-lowest: $(VENV)/installed-dev
	$(BIN)/python -m nox --session "matrix(3.11, airflow 2.11)"

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_words.py
	$(BIN)/python tools/check_wheel.py
	$(BIN)/python tools/audit.py

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python tools/check_site.py

# The tutorial from top to bottom, as somebody would who types it.
tutorial: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m tutorial tests/integration/test_docs_tutorial.py

clean:
	rm -rf $(VENV) $(WAREHOUSES) .venv-e2e .nox .demo dist build site

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(if $(UV)$(findstring command,$(origin UV)),,-@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt uv && $(BIN)/uv pip install --python $(BIN)/python --quiet iniconfig \
		|| $(BIN)/python -m pip uninstall --quiet --yes uv)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call install,--editable '$(PACKAGE)' apache-airflow-providers-sqlite)
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-test.txt $(VENV)/installed
	$(call install,--requirement requirements-dev.txt)
	@touch $@

$(VENV)/installed-mysql: requirements-mysql.txt $(VENV)/installed-dev
	$(call install,--requirement requirements-mysql.txt)
	@touch $@

$(VENV)/installed-docs: requirements-docs.txt constraints.txt | $(VENV)/bin/python
	$(call install,--requirement requirements-docs.txt)
	@touch $@

$(WAREHOUSES)/installed: requirements-warehouses.txt requirements-test.txt constraints/warehouses.txt pyproject.toml \
		| $(VENV)/bin/python
	test -x $(WAREHOUSES)/bin/python || $(PYTHON) -m venv $(WAREHOUSES)
	$(call install_warehouses,--editable '$(PACKAGE)' --requirement requirements-warehouses.txt)
	-$(call install_warehouses,apache-airflow-providers-mysql)
	@touch $@
