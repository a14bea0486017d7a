# The chores of seiflow; each sets up .venv by itself.
VENV := .venv
READY := $(VENV)/.ready
STUDY ?= config/config.yaml
# first and by itself, so that nothing else chooses another
TORCH := $(shell grep -o 'torch==[0-9.]*' pyproject.toml)
# what lives in one environment with the pins of constraints.txt; GPAW too, where it compiles
EXTRAS := dev,sevennet,bench,postgresql,charged,slurm
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# one thread a job, several jobs side by side: the highest throughput on a CPU
export OMP_NUM_THREADS := 1
export MPLBACKEND := Agg
# what GPAW is compiled with; its own script takes the C compiler for C++ unless told otherwise
GPAW_LIBRARIES = printf '\#include <xc.h>' | g++ -E -x c++ - > /dev/null 2>&1

# a configuration of the user's own comes first
CONFIGURE_GPAW = sh workflows/envs/gpaw_config.sh > $(VENV)/gpaw_config.py; \
  if [ -z "$$GPAW_CONFIG" ] && [ ! -f "$$HOME/.gpaw/siteconfig.py" ]; then export GPAW_CONFIG="$$PWD/$(VENV)/gpaw_config.py"; fi;

.PHONY: run test lint bench docs fitness environment constraints clean

run: $(READY)
	@seiflow check --keep-going $(STUDY)
	@snakemake --profile profiles/default --configfile $(STUDY); status=$$?; seiflow table $(STUDY) && exit $$status

test: lint
	pytest -n logical --dist loadfile

lint: $(READY)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflows
	snakemake --lint --configfile $(STUDY)
	codespell

bench: $(READY)
	python benchmarks/elasticity.py
	python benchmarks/migration.py
	python benchmarks/bands.py
	python benchmarks/structures.py
	if command -v pw.x > /dev/null; then python benchmarks/espresso.py; else echo 'no pw.x: benchmarks/espresso.py is left out'; fi
	python benchmarks/scale.py

# what is generated from the code and checked to be in step by the tests
docs: $(READY)
	seiflow schema > config/config.schema.json
	seiflow schema --markdown > config/README.md

# calculators side by side; hours the first time
fitness: $(READY)
	seiflow calculators test --all --markdown docs/fitness.md

$(READY): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	pip install --quiet --upgrade pip
	pip install --quiet $(TORCH)
	pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@if $(GPAW_LIBRARIES); then \
	  $(CONFIGURE_GPAW) \
	  CC=g++ pip install --quiet --no-cache-dir --constraint constraints.txt --editable '.[gpaw]' || \
	  echo 'GPAW did not build and is left out'; \
	else echo 'no libxc or no C++ compiler: GPAW is left out, see docs/calculators.md'; fi
	touch $@

# a virtual environment for calculators whose packages cannot live with the others: make environment NAME=mace
environment:
	@test -n '$(NAME)' || { echo 'which one? make environment NAME=mace, or orb, mattersim, grace, matgl'; exit 1; }
	python3 -m venv .venv-$(NAME)
	.venv-$(NAME)/bin/pip install --quiet --upgrade pip
	.venv-$(NAME)/bin/pip install --quiet $(TORCH)
	.venv-$(NAME)/bin/pip install --quiet --editable '.[$(NAME)]'
	@echo 'Name it in the machine file (key machine of a study, or SEIFLOW_MACHINE):'
	@echo 'pythons: {$(NAME): $(CURDIR)/.venv-$(NAME)/bin/python}'

# newest versions of everything, pinned; the first line names the Python that they were found with
constraints:
	rm -rf .venv-new && python3 -m venv .venv-new
	.venv-new/bin/pip install --quiet --upgrade pip
	.venv-new/bin/pip install --quiet $(TORCH)
	CC=g++ .venv-new/bin/pip install --quiet --editable '.[$(EXTRAS),gpaw]'
	.venv-new/bin/python -c 'import sys; print("# Python %d.%d, by make constraints" % sys.version_info[:2])' > .venv-new/pins
	.venv-new/bin/pip freeze --exclude-editable > .venv-new/frozen
	sed -E 's/\+cpu$$//; s/^[^=]+/\L&/; s/_/-/g' .venv-new/frozen | LC_ALL=C sort >> .venv-new/pins
	mv .venv-new/pins constraints.txt
	rm -rf .venv-new

clean:
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache
