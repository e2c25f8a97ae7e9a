.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

UNLABELLED = "select case when d.flight_id is null then 'never departed' \
	else 'departed, but no arrival delay (diverted)' end as reason, count(*) as flights \
	from scheduled s left join departed d using (flight_id) left join landed a using (flight_id) \
	where a.flight_id is null group by reason order by flights desc"

.PHONY: help demo test check bench dev services services-stop clean lock

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

.venv/.core: requirements/demo.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes --no-deps -r requirements/demo.txt
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q -x '/(tests?|testing|_testing)/|faker/providers' .venv/lib || true
	@touch $@

.venv/.dev: .venv/.core requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

demo: .venv/.core  ## set up .venv, then run the flights project and replay December 2013
	@test ! -e flights || { echo "flights/ is there already: look at it with .venv/bin/lichen show -C flights,"; \
	  echo "or remove it (rm -r flights) and make demo again"; exit 1; }
	$(BIN)/lichen init flights --template flights
	$(BIN)/lichen run -C flights --now 2013-12-01
	$(BIN)/lichen replay late -C flights --from 2013-12-01 --to 2014-01-02 --every "6 hours"
	@echo && echo "why flights have no label:" && $(BIN)/lichen query -C flights $(UNLABELLED)
	@echo && $(BIN)/lichen show -C flights

dev: .venv/.dev  ## set up .venv with everything that development needs

check: .venv/.dev  ## ruff, mypy strict, import-linter
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/.dev  ## run all tests
	$(BIN)/pytest

services:  ## bring and start real servers on loopback, SERVERS="postgres kafka" or all; see tests/services
	@code=0; $(PYTHON) -m tests.services install $(SERVERS) || code=1; \
	  $(PYTHON) -m tests.services start $(SERVERS) || code=1; exit $$code

services-stop:  ## end the servers
	@$(PYTHON) -m tests.services stop $(SERVERS)

bench: .venv/.dev  ## measure BENCH=loop (CASE=plan: one case of it) beside its peers; see bench/README.md
	$(BIN)/python -m bench $(BENCH) $(CASE)

clean:  ## remove what was built here
	rm -rf .venv .bench flights dist

lock:  ## pin the dependencies again, with hashes
	$(BIN)/uv pip compile -q pyproject.toml --extra demo --extra build --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate -o requirements/demo.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra demo --extra build --extra dev -c requirements/demo.txt --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate -o requirements/dev.txt
	$(BIN)/uv pip compile -q requirements/services.in --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate -o requirements/services.txt
