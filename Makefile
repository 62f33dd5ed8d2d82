# make demo: from a fresh clone to a leaderboard. make test and make gate: what CI runs. All need
# Python >= 3.11 with pip, and put everything into .venv.
SHELL := /bin/bash
BIN := .venv/bin
SETUP := pyproject.toml constraints.txt scripts/install.sh

.PHONY: demo test gate

demo: .venv/installed-demo
	$(BIN)/mom-eval run --tasks recall

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Fails when a checkpoint that ships recalls less than results/baseline says (docs/ci.md).
gate: .venv/installed-demo
	$(BIN)/mom-eval regress --against results/baseline

# A stamp a set of extras: once it is there, a second call installs nothing.
.venv/installed-demo: $(SETUP)
	scripts/install.sh
	touch $@

.venv/installed-test: $(SETUP)
	scripts/install.sh gguf,test
	touch $@ .venv/installed-demo
