# `make demo` starts the page, `make test` runs every check, `make help` lists the rest.
# Everything is installed into .venv, once, and again only when the requirements change.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 7860
TORCH_INDEX ?= auto
WORKERS ?= 2

# On Linux PyPI's torch brings several GB of CUDA libraries; this index has it without.
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

VENV := .venv
NEWEST := build/newest
BIN := $(VENV)/bin
# One thread each: two processes of one thread are faster than one of two.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup \
  --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --disable-pip-version-check

# Tools that make the locks and look at what is installed; they stay out of .venv.
TOOLS := build/tools
TOOLS_INSTALLED := $(TOOLS)/stamp-1
# torch comes from another index with hashes of its own, and PyPI's brings CUDA with it.
UNLOCKED := torch triton nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime \
  nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx \
  cuda-bindings cuda-pathfinder cuda-toolkit
COMPILE := $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-header --upgrade --default-index https://pypi.org/simple \
  $(addprefix --no-emit-package ,$(UNLOCKED))
# auto: what is locked if it can be had here, then what requirements*.txt still asks for;
# only: fail where the lock does not hold; none: requirements*.txt alone.
LOCK ?= auto
define install_locked
	@[ '$(LOCK)' = none ] || $(PIP) --quiet --require-hashes --no-deps -r $(1) || { \
	  [ '$(LOCK)' != only ] || exit 1; \
	  echo '$(1) cannot be installed here: taking the releases that $(2) admits.'; }
	$(PIP) --quiet -r $(2)
endef

# The stamps' names hold a checksum of what they stand for, so a changed file asks for a new stamp.
CREATED := $(VENV)/stamp-created
INSTALLED := $(VENV)/stamp-app-$(shell cat requirements.txt requirements.lock | cksum | cut -d ' ' -f 1)
TEST_INSTALLED := $(VENV)/stamp-test-$(shell cat requirements.txt training/requirements.txt requirements-test.txt requirements-test.lock | cksum | cut -d ' ' -f 1)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-newest docs screenshots lint format browser soak load lock \
  audit sbom clean reproduce reproduce-all

help:
	@echo 'make demo      start the page on http://$(HOST):$(PORT)'
	@echo 'make test      check style and formatting, then run every test, including those in a real browser'
	@echo 'make test-fast  all fast tests: no browser, no complete training'
	@echo 'make test-newest  try the newest transformers that requirements.txt admits'
	@echo 'make lint      check style, formatting and types only'
	@echo 'make format    format the code'
	@echo 'make browser   install Chromium for the browser tests if it is missing'
	@echo 'make reproduce      train everything from scratch and write the tables; resumable'
	@echo 'make reproduce-all  also run seeds, controls and ablations'
	@echo 'make docs      build the site of docs/ into build/site'
	@echo 'make screenshots  take the pictures of the page for README and docs'
	@echo 'make soak      1,000 calls of 200 browser sessions: how memory grows'
	@echo 'make load      16 users at once with 8 questions each: how long they wait'
	@echo 'make lock      pin every dependency with its hashes: requirements.lock'
	@echo 'make audit     check the pinned packages for known vulnerabilities'
	@echo 'make sbom      list the installed packages: build/sbom.json (CycloneDX)'
	@echo 'make clean     remove .venv and every cache'
	@echo
	@echo 'PYTHON=python3.12            which Python makes .venv (3.11 or newer)'
	@echo 'MODEL=HuggingFaceTB/SmolVLM-256M-Instruct  the model of the page; vif models lists some'
	@echo 'HOST=0.0.0.0 PORT=8000       where the page is served'
	@echo 'SMOKE=1                      reproduce at toy size; the shipped files stay unchanged'
	@echo 'LOCK=only                    fail if the lock does not fit; none: ignore the lock'
	@echo 'WORKERS=8                    how many processes run the tests'
	@echo 'TORCH_INDEX=URL              extra index for torch; empty: PyPI only;'
	@echo '                             auto: CPU-only wheels on Linux without an NVIDIA driver'

demo: $(INSTALLED)
	$(BIN)/python app.py --host $(HOST) --port $(PORT) $(if $(MODEL),--model-path $(MODEL))

reproduce: browser
	$(BIN)/python -m training.reproduce $(if $(SMOKE),--smoke)

reproduce-all: browser
	$(BIN)/python -m training.reproduce --all $(if $(SMOKE),--smoke)

test: lint browser
	$(PYTEST)

test-fast: $(TEST_INSTALLED)
	$(PYTEST) -m 'not slow and not browser'

# Beside the tested version, which stays where it is: only transformers itself is another one.
test-newest: $(TEST_INSTALLED)
	@rm -rf $(NEWEST); \
	$(PIP) --quiet --no-deps --target $(NEWEST) "$$(grep '^transformers[<>=]' requirements.txt)" \
	  || { echo 'skipped: the newest transformers cannot be downloaded'; exit 0; }; \
	if [ -e $(NEWEST)/transformers-$$($(BIN)/python -c \
	  'import transformers; print(transformers.__version__)').dist-info ]; then \
	  echo 'skipped: the tests ran with the newest transformers admitted'; exit 0; fi; \
	export PYTHONPATH=$(NEWEST) OMP_NUM_THREADS=1; \
	$(BIN)/python -c 'import transformers; print("transformers", transformers.__version__)' && \
	$(BIN)/python -W ignore -m vif check --all --tiny && \
	$(BIN)/python -W ignore -m vif ask --scene 3

lint: $(TEST_INSTALLED)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pyright

format: $(TEST_INSTALLED)
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

screenshots: browser
	PYTHONPATH=. $(BIN)/python docs/screenshots.py

docs: $(TEST_INSTALLED)
	$(PIP) --quiet -r requirements-docs.txt
	$(BIN)/python -m mkdocs build

soak: $(TEST_INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak

load: $(TEST_INSTALLED)
	$(BIN)/python -m tests.soak.load

lock: $(TOOLS_INSTALLED)
	$(COMPILE) requirements-test.txt -o requirements-test.lock
	$(COMPILE) -c requirements-test.lock requirements.txt -o requirements.lock

audit: $(TOOLS_INSTALLED)
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip -r requirements-test.lock

sbom: $(TOOLS_INSTALLED) $(INSTALLED)
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --output-file build/sbom.json

$(TOOLS_INSTALLED): | $(CREATED)
	$(BIN)/python -m venv --clear $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet 'uv>=0.13,<0.14' 'cyclonedx-bom>=7.5,<8' 'pip-audit>=2.10,<3'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .gradio build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
	  found=$$($(PYTHON) -c 'import platform; print(platform.python_version())' 2> /dev/null); \
	  echo "VIF Lens needs Python 3.11 or newer and $(PYTHON) is $${found:-missing}: install one" \
	    "and name it, for example with PYTHON=python3.12." >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: install its venv module" \
	    "(on Debian and Ubuntu: apt-get install python3-venv)." >&2; \
	  exit 1; }
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

# PyPI answers everywhere, so an index that does not answer is left out rather than waited for.
$(INSTALLED): | $(CREATED)
	@index='$(TORCH_INDEX)'; \
	if [ "$$index" = auto ]; then \
	  index=; \
	  if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi > /dev/null && $(BIN)/python -c \
	    'from urllib.request import urlopen; urlopen("$(TORCH_CPU_INDEX)/torch/", timeout=5)' \
	    2> /dev/null; then index='$(TORCH_CPU_INDEX)'; fi; \
	fi; \
	echo "Installing torch from $${index:-PyPI}"; \
	$(PIP) $${index:+--no-deps --index-url "$$index"} "$$(grep '^torch[<>=]' requirements.txt)"
	$(call install_locked,requirements.lock,requirements.txt)
	@touch $@

$(TEST_INSTALLED): $(INSTALLED)
	$(call install_locked,requirements-test.lock,requirements-test.txt)
	@touch $@

define find_chromium
{ [ -n "$$CHROMIUM" ] && command -v "$$CHROMIUM"; } || command -v chromium || \
  command -v chromium-browser || command -v google-chrome || $(BIN)/python -c \
  'import os, sys, playwright.sync_api as api; \
  driver = api.sync_playwright().start(); path = driver.chromium.executable_path; driver.stop(); \
  sys.exit(not os.path.exists(path))'
endef

browser: $(TEST_INSTALLED)
	@found() { $(find_chromium); } > /dev/null 2>&1; \
	found && exit; \
	if command -v apt-get > /dev/null; then \
	  if [ "$$(id -u)" = 0 ]; then root=env; else root='sudo -n env'; fi; \
	  if $$root true 2> /dev/null; then \
	    $$root apt-get update; \
	    $$root DEBIAN_FRONTEND=noninteractive \
	      apt-get install --yes --no-install-recommends chromium; \
	  fi; \
	  found && exit; \
	fi; \
	$(BIN)/python -m playwright install chromium; \
	found && exit; \
	echo 'No Chromium was found and none could be installed: install one and put it on PATH,' \
	  'or name it with CHROMIUM=/path/to/chromium.' >&2; \
	[ -z "$$CI" ]
