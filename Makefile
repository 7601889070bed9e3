# make demo    sets everything up, then studies both bundled models
# make test    sets everything up, then runs the tests (WORKERS=8 where there are more cores)
# make quick   the same without the slow tests, while you work
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
# Else all that tests import is compiled anew by each worker of each run.
export PYTHONDONTWRITEBYTECODE :=
READY := .venv/.ready

.PHONY: demo test quick lint types page format bench ladder real mutants calibrate gallery notebooks docs clean

demo: $(READY)
	$(BIN)/cot-attn study toy-gpt2 toy-llama

test: $(READY)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

quick: $(READY)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.sweeping

# make ladder SIZES=32x2,48x2 STEPS=2000 SEEDS=3    trains families of toy models; goes on where it was
ladder: $(READY)
	$(BIN)/python -m cot_attn.toy.ladder $(or $(FOLDER),ladder) --workers $(WORKERS) \
		$(if $(SIZES),--sizes $(SIZES)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(STEPS),--steps $(STEPS)) $(if $(LONGEST),--longest $(LONGEST)) \
		$(if $(BATCH),--batch-size $(BATCH)) $(if $(THRESHOLD),--threshold $(THRESHOLD))

# make real    fetches a small pretrained model (93 MB) and writes docs/real-weights.md
real: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[gguf]'
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python -m benchmarks.real_weights
	$(BIN)/python examples/any_language_model.py $$(find $${TMPDIR:-/tmp}/smollm2 -name '*.gguf') --n 2

# make page    holds the page's script and style against rules and types (npm); also lets its tests use axe-core
PAGE := build/page
SCRIPTS := src/cot_attn/report/templates/browser/*.js
page: $(PAGE)/.ready
	$(PAGE)/node_modules/.bin/biome lint --error-on-warnings
	$(PAGE)/node_modules/.bin/tsc --noEmit --allowJs --checkJs --strict --target es2022 \
		--lib es2023,dom,dom.iterable --module es2022 --moduleResolution bundler $(SCRIPTS)

$(PAGE)/.ready: Makefile
	npm install --prefix $(PAGE) --silent --no-fund --no-audit \
		@biomejs/biome@2.6.8 typescript@5.9.3 axe-core@4.14.1
	touch $@

# make mutants ROOMS=stats SAMPLE=200 SEED=1    more faults, in fewer rooms
mutants: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mutants]'
	$(BIN)/python benchmarks/mutants.py $(ROOMS) --sample $(or $(SAMPLE),40) --seed $(or $(SEED),0)

calibrate: $(READY)
	$(BIN)/python -m benchmarks.calibration

gallery: $(READY)
	$(BIN)/python docs/gallery.py

notebooks: $(READY)
	$(BIN)/python examples/notebooks/execute.py

docs: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	rm -rf docs/_extra/live
	$(BIN)/cot-attn study toy-gpt2 toy-llama --n 120 --out docs/_extra/live
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cot-attn needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
