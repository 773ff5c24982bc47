# Everything runs in .venv, from the tested set of versions in requirements.lock.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test check bench soak fuzz format dashboards lock clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

.venv/.runtime: .venv/.pip pyproject.toml requirements.lock
	@echo 'Installing Stallwatch into .venv ...'
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable .
	touch $@

.venv/.dev: .venv/.runtime instrumentation/pyproject.toml
	@echo 'Installing the development tools into .venv ...'
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable . --editable ./instrumentation --group dev
	touch $@

demo: .venv/.runtime ## Watch a small shop stall, and be told (ARGS="--exit" ends by itself)
	$(BIN)/stallwatch demo $(ARGS)

check: .venv/.dev ## Lint, types, layers, docs and examples against the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -p no:cacheprovider tests/house

# The longest first: what begins last keeps everyone waiting. Each folder by its name, since pytest takes one that holds others
# for all of them, in the order of their names.
TESTS := tests/scenarios/ tests/simulation/ tests/app/
TESTS += $(filter-out $(TESTS) tests/house/ tests/fixtures/ tests/azurite/ tests/js/ tests/__pycache__/,$(wildcard tests/*/))
test: check ## check, then all tests (ARGS="-k fold" narrows them)
	$(BIN)/pytest -q --numprocesses=3 --dist=loadfile --no-loadscope-reorder --ignore=tests/house $(or $(ARGS),$(TESTS))

# What others are compared with is not needed for anything else, and not there on every platform.
.venv/.bench: .venv/.dev
	-$(BIN)/python -m pip install --quiet --group bench
	touch $@

bench: .venv/.bench ## Measure into benchmarks/RESULTS.md; QUICK=1 takes a minute (ARGS="--case server")
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick,--out benchmarks/RESULTS.md) $(ARGS)

soak: .venv/.dev ## Kills, outages and a full disk under load, then flat memory, then seeded worlds (KILLS=200 OUTAGE_S=600 MINUTES=20 SEEDS=2000)
	STALLWATCH_TEST_KILLS=$(or $(KILLS),200) STALLWATCH_TEST_OUTAGE_S=$(or $(OUTAGE_S),600) \
		$(BIN)/pytest -q -s tests/app/test_serve.py tests/app/test_faults.py -k 'sigkill or faults'
	STALLWATCH_TEST_STORIES=1 $(BIN)/pytest -q tests/app/test_engine_findings.py
	$(BIN)/python -m tests.app.soak --minutes $(or $(MINUTES),20)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),2000)

fuzz: .venv/.dev ## Every decoder and endpoint under garbage (SECONDS=600)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --group fuzz
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600)

format: .venv/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dashboards: .venv/.runtime ## Generate the committed Grafana dashboards again
	$(BIN)/stallwatch dashboards export dashboards/grafana/json

lock: .venv/.dev ## Write the tested set of versions
	$(BIN)/python -m pip freeze --exclude-editable | grep -v '^stallwatch' > requirements.lock

clean: ## Remove what make installed
	rm -rf .venv
