# make run     the whole line on the small shop that comes with it      make ui      Dagster and MLflow in the browser
# make test    all tests                                                make check   style, types, import direction
# make serve   search by photo in the browser, of what is published
# make gpu     the GPU's tests and benchmarks, where there is one       make lock    pin the newest dependencies
# make docs    the documentation as a site, in build/docs
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: run refresh test ui serve check docs gpu lock clean scm

run: .venv/installed scm
	dvc repro
	@python -m visnet deploy
	@python -m visnet summary

# What Dagster's job of this name does: the catalog's news, with the model that is there.
refresh: .venv/installed scm
	dvc repro --single-item raw_images crops photo_quality catalog_embeddings knn_results duplicates category_paths publish
	@python -m visnet deploy
	@python -m visnet versions

ui: .venv/installed scm
	@exec python -m orchestration.ui

serve: .venv/installed
	@exec python -m visnet serve

test: .venv/installed
	OMP_NUM_THREADS=1 python -m pytest -n 3

check: .venv/installed
	ruff check .
	ruff format --check .
	mypy
	python -m pytest -q tests/test_structure.py tests/test_one_way.py tests/test_documented.py

docs: .venv/installed
	sphinx-build -W --keep-going -b html docs build/docs
	@echo 'Open build/docs/index.html'

# Takes the Python that is there, with its torch and triton: nothing of dagster, dvc, mlflow or lance is needed, nor of
# the plugins of pytest that pyproject.toml has settings of.
gpu:
	$(PYTHON) benchmarks/gpu.py

COMPILE := uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
SERVE := --extra heic --extra s3
PIPELINE := $(SERVE) --extra line --extra lite --extra ray --extra services

# All there is, and of that what docker/Dockerfile puts into its images.
lock: .venv/installed
	$(COMPILE) pyproject.toml --all-extras -o requirements.lock
	$(COMPILE) pyproject.toml $(SERVE) --constraint requirements.lock -o requirements-serve.lock
	$(COMPILE) pyproject.toml $(PIPELINE) --constraint requirements.lock -o requirements-pipeline.lock
	echo uv | $(COMPILE) - -o requirements-uv.lock

# Unpacked from an archive instead of cloned: DVC has to be told that there is no git; after `git init` that is taken back.
scm:
	@if [ -e .git ]; then \
		if grep -qs no_scm .dvc/config.local; then dvc config --local --unset core.no_scm; fi; \
	elif ! grep -qs no_scm .dvc/config.local; then \
		printf '[core]\n    no_scm = true\n' >> .dvc/config.local; \
		echo 'No git repository here: DVC works without one. For `git checkout` and `dvc metrics diff`, type git init.'; \
	fi

.venv/installed: requirements.lock requirements-uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "visnet needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-uv.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

clean:
	rm -rf .venv build dist
