# make demo         set up whatever is missing, then size the two-stage op-amp and compress a small network
# make test         set up whatever is missing, then run the tests
# make setup        only set up; a second call finds nothing to do
# make lint         ruff and mypy --strict
# make benchmarks   the quick form of every benchmark
# make results      the full benchmarks, and docs/results.md from what they measured (takes long)

BIN := .venv/bin
TEST_JOBS ?= 2
BENCHMARKS := $(filter-out benchmarks/figures.py benchmarks/networks.py benchmarks/results.py,$(wildcard benchmarks/*.py))

.PHONY: demo test setup lint benchmarks results

demo: setup
	$(BIN)/sizewise size netlists/two_stage_op_amp/spec.yaml
	$(BIN)/sizewise compress

test: setup
	$(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder --durations 25

setup:
	@scripts/setup.sh

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every benchmark runs, whatever the one before it found; the target fails if one of them missed a bar.
benchmarks: setup
	@mkdir -p runs/benchmarks; missed=; for script in $(BENCHMARKS); do \
		echo "== $$script --quick"; \
		$(BIN)/python $$script --quick --json runs/benchmarks/$$(basename $$script .py).json || missed="$$missed $$script"; \
	done; [ -z "$$missed" ] || { echo "below a bar:$$missed" >&2; exit 1; }

results: setup
	@mkdir -p benchmarks/results; missed=; for script in $(BENCHMARKS); do \
		echo "== $$script"; \
		$(BIN)/python $$script --json benchmarks/results/$$(basename $$script .py).json || missed="$$missed $$script"; \
	done; $(BIN)/python benchmarks/results.py || exit; [ -z "$$missed" ] || { echo "below a bar:$$missed" >&2; exit 1; }
