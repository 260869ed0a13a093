# goodsam: every target makes what it needs, the virtual environment included.
# Your own data: make cache-sam train eval IMAGES=... CACHE=... RUN=... SAM=vit_h PRESET=goodsam-m

PYTHON ?= python3
VENV   ?= .venv
RUNS   ?= runs
BIN     = $(VENV)/bin

# the street world unless said otherwise
WORLD       = $(RUNS)/street
IMAGES     ?= $(WORLD)/unlabelled
TEST       ?= $(if $(filter $(WORLD)/unlabelled,$(IMAGES)),$(WORLD)/test,$(IMAGES))
LABELS     ?=
CACHE      ?= $(RUNS)/cache.zarr
RUN        ?= $(RUNS)/train
SAM        ?= street
CHECKPOINT ?=
PRESET     ?= demo
OUT        ?= $(RUNS)/eval
ARGS       ?=

ifeq ($(IMAGES),$(WORLD)/unlabelled)
needed = $(WORLD)/.done
endif

.PHONY: setup types demo cache-sam train eval predict weights test test-slow notebooks attacks \
  lint docs format clean help

help:
	@echo "make demo        the whole method on the street world, and a report"
	@echo "make test        the fast tests (make test ARGS='-k fusion' for some)"
	@echo "make test-slow   those that take minutes: kills, workers, several processes, the wheel"
	@echo "make notebooks   the notebooks of docs/notebooks, from top to bottom"
	@echo "make attacks     every hostile try, slow ones too, and a table of them (docs/attacks.md)"
	@echo "make lint        ruff and mypy"
	@echo "make docs        the site of the documents, into build/site"
	@echo "make cache-sam   stage 1: SAM's masks of IMAGES into CACHE"
	@echo "make train       stage 2: IMAGES and CACHE into RUN"
	@echo "make eval        score RUN on IMAGES (LABELS=... if they lie elsewhere)"
	@echo "make predict     label maps and overlays of IMAGES by RUN into OUT"
	@echo "make weights     train the demo weights again (hours)"
	@echo "Variables: IMAGES LABELS CACHE RUN SAM CHECKPOINT PRESET OUT ARGS"

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "goodsam needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,lint,bench,docs]'
	touch $@

$(WORLD)/.done: $(VENV)/.done
	$(BIN)/goodsam world $(WORLD) --source 0 --unlabelled 16 --test 12
	touch $@

demo: setup
	$(BIN)/goodsam demo --out $(RUNS)/demo $(ARGS)

cache-sam: setup $(needed)
	$(BIN)/goodsam cache-sam $(IMAGES) $(CACHE) --sam $(SAM) $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT)) $(ARGS)

train: setup $(needed)
	$(BIN)/goodsam train $(IMAGES) $(CACHE) --preset $(PRESET) --out $(RUN) $(ARGS)

eval: setup $(needed)
	$(BIN)/goodsam eval $(RUN) $(TEST) $(if $(LABELS),--labels $(LABELS)) --out $(OUT) $(ARGS)

predict: setup $(needed)
	$(BIN)/goodsam predict $(RUN) $(TEST) $(OUT) $(ARGS)

weights: setup
	$(BIN)/python -m goodsam.pipeline.studies.street_weights --runs $(RUNS)/weights $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

test-slow: setup
	$(BIN)/python -m pytest -m 'slow and not gpu' --durations 0 --durations-min 5 $(ARGS)

notebooks: setup
	$(BIN)/python -m pytest --nbmake --nbmake-timeout 600 --timeout 900 docs/notebooks $(ARGS)

attacks: setup
	$(BIN)/python -m pytest -m 'attack and not gpu' $(ARGS)

# mypy follows no import hook: it is shown the package as links
types:
	@mkdir -p build/types/goodsam
	@for part in data pipeline stages; do ln -sfn ../../../$$part build/types/goodsam/$$part; done
	@for file in __init__ __main__; do ln -sfn ../../../pipeline/face/$$file.py build/types/goodsam/$$file.py; done

lint: setup types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup types
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(RUNS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
