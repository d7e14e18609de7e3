# make demo    asRNN beside a tanh RNN on copy memory: a table and a figure, in about three minutes
# make test    the whole test suite
# make notebooks   runs the notebooks and keeps what they show, and brings .py and .ipynb in step
# make faults  hurts small runs in every way that machines do and says what was lost, in about ten minutes
# make accelerator   laws and times on this machine's GPU or TPU, in at most eight minutes
# make lint    formatting, lint, types

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test notebooks faults accelerator lint clean

$(VENV)/experiments: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[experiments]'
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps jax2onnx  # it names an orbax it does not use
	@touch $@ $(VENV)/experiments

demo: $(VENV)/experiments
	rm -rf demo
	$(BIN)/python -m experiments copy-memory --preset paper-copy-1000 --delay 200 --batch 64 --steps 1000 --out demo/asrnn
	$(BIN)/python -m experiments copy-memory --cell tanh_rnn --hidden 138 --lr 2e-4 --decay 0.9 --delay 200 --batch 64 --steps 1000 \
	    --log-every 10 --out demo/tanh_rnn
	$(BIN)/python -m experiments report demo/asrnn demo/tanh_rnn --figure demo/report.png

test: $(VENV)/dev
	$(BIN)/python -m pytest -n 2

notebooks: $(VENV)/dev
	$(BIN)/jupytext --sync notebooks/*.py
	$(BIN)/python -m pytest -o addopts= -q -n 2 --nbmake --nbmake-timeout 600 --overwrite notebooks/*.ipynb

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

clean:
	rm -rf $(VENV) demo
