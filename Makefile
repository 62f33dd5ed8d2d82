# make demo: from a fresh clone to a leaderboard. make test and make gate: what CI runs. All need
# Python >= 3.11 with pip, and put everything into .venv and .cache.
SHELL := /bin/bash
BIN := .venv/bin
MODEL := .cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
SETUP := pyproject.toml constraints.txt scripts/install.sh

.PHONY: demo test gate

demo: .venv/installed-demo
	$(BIN)/python scripts/fetch_smollm2.py
	$(BIN)/mom-eval run --tasks recall --data sample --limit 20 --model SmolLM2-135M=$(MODEL)
	@echo
	@echo "SmolLM2 scores low because these prompts are cloze forms, a text broken off before the answer:"
	@echo "a model tuned on instructions mostly answers with a newline, which ends its answer. The"
	@echo "reference rows (head, echo, prior, lookup) are made without a model and give the table its meaning."

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
	scripts/install.sh gguf
	touch $@

.venv/installed-test: $(SETUP)
	scripts/install.sh gguf,test
	touch $@ .venv/installed-demo
