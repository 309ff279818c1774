# make repro   the pipeline, from nothing to the plots   make mend   what a kill left   make test   the tests   make lint   style and types
# All make .venv first, once; again only when requirements.txt changes.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: setup repro mend test lint

setup: .venv/installed

repro: setup
	@test -e .git || dvc config --local core.no_scm true # a download without git, which dvc would refuse to work in
	python -m stages.mend
	dvc repro

mend: setup
	python -m stages.mend

test: setup
	python -m pytest

lint: setup
	ruff check .
	mypy

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python %d.%d came; 3.11 or later is needed: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@
