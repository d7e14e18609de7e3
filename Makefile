# make demo    asRNN beside a tanh RNN on copy memory: a table and a figure, in about three minutes
# make test    the tests, to be run before each commit; TESTS="tests/test_laws.py ..." runs a part of them
# make test-slow   the others: further cases of the same kinds, and what needs processes, kills, full disks or minutes
# make notebooks   runs the notebooks and keeps what they show, and brings .py and .ipynb in step
# make faults  hurts small runs in every way that machines do and says what was lost, in about ten minutes
# make accelerator   laws and times on this machine's GPU or TPU, in at most eight minutes
# make docs    the documentation as a site that needs no network, in site/; fails if a symbol or a link is dead
# make lint    formatting, lint, types
# make dist    the sdist and the wheel, checked, in dist/
#
# All of them install what they need into .venv, or with PYTHON=python3.13 into .venv-3.13, beside it.

VENV := .venv$(if $(PYTHON),-$(patsubst python%,%,$(notdir $(PYTHON))))
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Threads of LAPACK that wait for each other would take the cores from JAX.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test test-slow notebooks docs faults accelerator lint dist clean

$(BIN)/python:
	python=$$(.ci/python $(PYTHON)) && "$$python" -m venv $(VENV)

$(VENV)/experiments: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[experiments]'
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps jax2onnx  # it names an orbax it does not use
	@touch $@ $(VENV)/experiments

demo: $(VENV)/experiments
	rm -rf demo
	$(BIN)/python -m experiments copy-memory --preset paper-copy-1000 --delay 200 --batch 64 --steps 1000 --out demo/asrnn
	$(BIN)/python -m experiments copy-memory --cell tanh_rnn --hidden 138 --lr 2e-4 --decay 0.9 --delay 200 --batch 64 --steps 1000 \
	    --log-every 10 --out demo/tanh_rnn
	$(BIN)/python -m experiments report demo/asrnn demo/tanh_rnn --figure demo/report.png

test: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 $(TESTS)

# Further cases of the same kinds, and what needs processes, kills, full disks or minutes.
test-slow: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 -m slow $(TESTS)

notebooks: $(VENV)/dev
	$(BIN)/jupytext --sync notebooks/*.py
	$(BIN)/python -m pytest -o addopts= -q -n 2 --nbmake --nbmake-timeout 600 --overwrite notebooks/*.ipynb

docs: $(VENV)/dev
	$(BIN)/python -m experiments.tools.site

faults: $(VENV)/experiments
	rm -rf faults
	$(BIN)/python -m experiments faults --out faults

# A machine with an accelerator has an environment of its own; ARGS='--out FOLDER' for another folder.
accelerator:
	@if $(PYTHON) -c 'import asrnn_jax' 2>/dev/null; then $(PYTHON) -m experiments.tools.accelerator $(ARGS); \
	else $(MAKE) $(VENV)/experiments && $(BIN)/python -m experiments.tools.accelerator $(ARGS); fi

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

dist: $(VENV)/dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf .venv .venv-* demo dist site
