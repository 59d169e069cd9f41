# Python 3.11 or newer and make are all that this needs: `make demo`, `make test`, or `make` for the list.

PYTHON ?= python3
VENV ?= .venv
LOCK ?= .ci/dev.lock
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null)
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist loadgroup

# The environment under test is the one made here: nothing of the caller's leaks in.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.13 ...")'
@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make environments. On Debian: apt install python3-venv" >&2; exit 1; }
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test check coverage lint format bench bench-build bench-service bench-batch soak lock pins types spark-environment test-lowest test-spark test-torch test-corpus bench-dependencies clean

help:  ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY)  ## make the locked development environment in .venv

$(READY): $(LOCK) pyproject.toml
	$(check_python)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked development environment into $(VENV) (once)"
ifneq ($(UV),)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $(LOCK)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --use-pep517 -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

demo:  ## train on real flights, pack, prove, serve and ask; with a Docker Engine build the image too
	$(check_python)
	@$(PYTHON) .ci/demo.py

test: setup  ## run all tests but those of Spark, PyTorch and the corpus, which have environments of their own
	$(PYTEST) -m "not spark"

check: lint  ## lint, and the tests that need neither network nor engine nor Spark and are not slow
	$(PYTEST) -m "not engine and not network and not slow and not spark"

coverage: setup  ## measure which branches of inference and codec their tests run: 90 % at least
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses auto --dist loadgroup --quiet tests/inference tests/runtime
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: setup  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## measure start-up, packing, locking and the codec against the bare programs
	$(BIN)/python .ci/bench.py
	$(BIN)/python .ci/bench_codec.py

bench-build: setup  ## measure builds beside uv and the engine alone; empties the engine's build cache
	$(BIN)/python .ci/bench_build.py

bench-service: setup  ## measure the service beside an app that was written by hand, on two cores
	$(BIN)/python .ci/bench_service.py

bench-batch: setup spark-environment  ## measure batch jobs beside a script that was written by hand, and Spark's beside such a job
	$(BIN)/python .ci/bench_batch.py
	.venv-spark/bin/python .ci/bench_spark.py

soak: setup  ## ask the service for 5 minutes at full load: no error, no wrong answer, no growth
	$(BIN)/python .ci/soak.py

# The version that images get.
SPARK = $(shell sed -n 's/^\(pyspark==[0-9.]*\).*/\1/p' templates/targets/spark/pins/3.11.lock)

COMPILE = $(BIN)/uv pip compile pyproject.toml --extra uv --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --quiet --upgrade

lock: setup  ## resolve the locks in .ci/ anew
	$(COMPILE) --group dev --output-file .ci/dev.lock
	$(COMPILE) --group build --group test --group lint --output-file .ci/lowest.lock --resolution lowest-direct
	$(BIN)/uv pip compile .ci/corpus-requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --upgrade --output-file .ci/corpus.lock

pins: setup  ## pin anew what images need beside a model's own packages
	$(BIN)/python .ci/pins.py

types: setup  ## write the table of types into ARCHITECTURE.md
	$(BIN)/python .ci/types_table.py

test-lowest:  ## run the tests that need no engine with the oldest versions that pyproject.toml allows
	$(MAKE) setup VENV=.venv-lowest LOCK=.ci/lowest.lock
	.venv-lowest/bin/python -m pytest --numprocesses auto --dist loadgroup -m "not engine and not network and not spark"
	.venv-lowest/bin/python -m pytest --numprocesses auto -m "network and not engine and not spark" tests/dependencies tests/workflows

test-spark: spark-environment  ## run the tests of Spark, in an environment that has it; they need Java 17 or newer
	.venv-spark/bin/python -m pytest -m spark tests/scoring

spark-environment:
	$(MAKE) setup VENV=.venv-spark
	.venv-spark/bin/python -c 'import pyspark' 2>/dev/null || .venv-spark/bin/python -m pip install --quiet $(SPARK)

test-torch:  ## run the tests of PyTorch's tensors, in an environment that has it
	$(MAKE) setup VENV=.venv-torch
	.venv-torch/bin/python -c 'import torch' 2>/dev/null || .venv-torch/bin/python -m pip install --quiet torch==2.13.0
	.venv-torch/bin/python -m pytest tests/with_torch

CORPUS := .venv-corpus
ON_CORPUS = MODEL_ENVELOPE_CORPUS_PYTHON=$(CORPUS)/bin/python $(BIN)/python

$(CORPUS)/.ready: .ci/corpus.lock tests/corpus/environment.py $(shell find tests/corpus/distributions tests/corpus/editable -type f -not -name '*.pyc')
	@echo "Installing the crowded environment of the corpus into $(CORPUS) (once)"
	@PYTHONPATH=tests $(BIN)/python tests/corpus/environment.py $(CORPUS) --python $(PYTHON)
	@touch $@

test-corpus: setup $(CORPUS)/.ready  ## hold what is said of the models of the corpus against what they need
	$(ON_CORPUS) -m pytest tests/corpus

bench-dependencies: setup $(CORPUS)/.ready  ## find anew what the models of the corpus need, and print the table
	$(ON_CORPUS) .ci/bench_dependencies.py

clean:  ## delete what the commands here made
	rm -rf .venv .venv-corpus .venv-demo .venv-lowest .venv-spark .venv-torch .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
