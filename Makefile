PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help setup repro mend test lint animations

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 20

setup: .venv/installed ## .venv, once, and again when requirements.txt has changed; all others do it too

repro: setup ## the pipeline, from nothing to report.html, whose path it says at the end
	@test -e .git || dvc config --local core.no_scm true # a download without git, which dvc would refuse to work in
	python -m stages.mend
	dvc repro
	@echo "The page of this run: $(CURDIR)/report.html"

mend: setup ## puts right what a kill left
	python -m stages.mend

test: setup ## the tests, two files at a time
	python -m pytest -n 2 --dist loadfile

lint: setup ## style and types
	ruff check .
	mypy

# Each from a training of its own, in a copy of what is committed: nothing here is touched but the animation.
animations: docs/carved.webp docs/carved-lenet5.webp docs/carved-vgg16.webp ## those of the documents, in half an hour

docs/carved.webp: RUN = -S prior.kind=gate -S prune.inputs=true
docs/carved-lenet5.webp: RUN = -S recipe=mnist-lenet5
docs/carved-vgg16.webp: RUN = -S recipe=folder-resnet18 -S model.name=vgg16 -S model.width=0.25 -S data.size=32 \
    -S bayesian.train.epochs=32 -S bayesian.kl_warmup_epochs=8
docs/carved%webp: setup
	mkdir -p scratch && copy=$$(mktemp -d "$(CURDIR)/scratch/carved.XXXXXX") && trap 'rm -rf "$$copy"' EXIT && git clone --quiet . "$$copy" && \
	    cd "$$copy" && python -m stages.run $(RUN) -S bayesian.snapshots=48 prune && \
	    python -m stages.carve --into "$(CURDIR)/$@" --most 600

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python %d.%d came; 3.11 or later is needed: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@
