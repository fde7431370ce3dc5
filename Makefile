# What there is to do here: "make help". It needs Python 3.11 or newer and a shell.

VENV := .venv
ARGS ?=
# Which Python makes the virtual environment; empty: the first one that is new enough.
PYTHON ?=
# Which build of torch goes into it, for targets that need one: cpu, cu126, ...; empty: install.sh
# --help says.
TORCH ?=

python := $(VENV)/bin/python
make_venv = @bash install.sh --venv $(VENV) $(if $(PYTHON),--python $(PYTHON)) $(if $(TORCH),--torch $(TORCH)) --requirements

.DEFAULT_GOAL := help
.PHONY: help run test bench lint format clean venv venv-dev test-tools

help: ## show this list
	@echo 'make TARGET [ARGS="..."] [PYTHON=python3.12]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

run: venv ## start the server; ARGS="--port 9000" passes arguments on
	@exec $(python) server.py $(ARGS)

test: venv-dev test-tools ## check the code and run the tests; ARGS="-k player" chooses some
	@$(MAKE) --no-print-directory lint
	$(python) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: venv-dev test-tools ## measure; ARGS="--help" shows what there is
	@$(python) -m tests.benchmarks $(ARGS)

lint: venv-dev ## ruff, mypy, import-linter
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(VENV)/bin/lint-imports

format: venv-dev ## put the code into its form
	$(python) -m ruff format .
	$(python) -m ruff check --fix .

clean: ## remove what can be made again: .venv, caches, compiled avatars
	rm -rf $(VENV) cache build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	$(make_venv) requirements.txt

venv-dev:
	$(make_venv) requirements-dev.txt

# Programs that some tests use. Without them those tests say why they are skipped.
# Debian keeps PostgreSQL's server out of PATH.
postgres_path = $(subst $(empty) $(empty),:,$(wildcard /usr/lib/postgresql/*/bin))
test-tools:
	@missing=; PATH="$$PATH:$(postgres_path)"; \
	for tool in chromium:chromium chromedriver:chromium-driver espeak-ng:espeak-ng shellcheck:shellcheck Xvfb:xvfb xdotool:xdotool \
	    systemd-analyze:systemd redis-server:redis-server postgres:postgresql; do \
	    command -v "$${tool%%:*}" >/dev/null || missing="$$missing $${tool##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	    echo "Not installed, so some tests are skipped:$$missing"; exit 0; \
	fi; \
	echo "Installing with apt-get:$$missing ..."; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } \
	    </dev/null >/dev/null 2>&1 || echo "warning: apt-get failed for:$$missing" >&2
