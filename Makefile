# make demo      install, then train, enroll and identify on real faces (ORL)
# make test      install, then lint, types and the fast tests
# make test-slow the tests that take minutes
# make test-portable  the fast tests without AVX-512, without AVX2, with 1 and 4 threads, the oldest and the newest
#                versions of what is installed; one of them: make test-portable ENVIRONMENTS=no-avx512
# make crash     kill every change of galleries and models at every call, and cut the power: minutes
# make fuzz      damage galleries, models and photos, a few hundred thousand times; options no one expects
# make mutants   change the core in one place at a time: do its tests notice? An hour; MODULES=enroll/decision.py for one
# make bench     beside OpenCV, deepface, faiss and others, 40 minutes: docs/benchmarks.md; a part: BENCH="--only cold"
# make docs      the documentation as pages, in build/site; a warning is an error
# make release-check  build the package, install it afresh, run README, each extra alone, licences, SBOM: many minutes
# make figures   the figures of README and docs, measured again

# The first Python that pyproject.toml allows, or the one that is named: make PYTHON=/path/to/python3.12.
# A folder .venv that is there keeps its Python: `make clean` first.
PYTHON ?=
# Containers often set it; then every process of a test compiles all modules again.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := $(VENV)/.demo

.PHONY: demo test test-slow test-portable lint crash fuzz mutants bench docs release-check figures clean

demo: $(DEMO)
	$(BIN)/python scripts/demo.py demo

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m "slow or hypothesis" --hypothesis-profile others

test-portable: $(INSTALLED)
	$(BIN)/python scripts/test_portable.py $(ENVIRONMENTS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

crash: $(INSTALLED)
	$(BIN)/python scripts/crash_gallery.py

fuzz: $(INSTALLED)
	$(BIN)/python scripts/fuzz_images.py
	$(BIN)/python scripts/fuzz_files.py
	$(BIN)/python scripts/fuzz_options.py
	$(BIN)/python scripts/fuzz_fields.py

mutants: $(INSTALLED)
	$(BIN)/python scripts/mutate_core.py $(MODULES)

bench: $(INSTALLED)
	$(BIN)/python scripts/bench.py $(BENCH)

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

release-check: $(INSTALLED)
	$(BIN)/python scripts/check_release.py

figures: $(INSTALLED)
	$(BIN)/python scripts/bench_models.py
	$(BIN)/python scripts/concept_figures.py
	$(BIN)/python scripts/answer_picture.py
	$(BIN)/python scripts/bench_main_job.py
	$(BIN)/python scripts/bench_faces.py
	$(BIN)/python scripts/measure_quality.py
	$(BIN)/python scripts/prove_calibration.py
	$(BIN)/python scripts/bench_scoring.py
	$(BIN)/python scripts/ablation.py
	$(BIN)/python scripts/digits_figure.py
	$(BIN)/python scripts/frontier.py --figure docs/pictures/frontier.png
	$(BIN)/python scripts/folder_size.py
	$(BIN)/python scripts/bench_losses.py
	$(BIN)/python scripts/bench_trunk.py --write
	$(BIN)/python scripts/bench_training.py
	$(BIN)/python scripts/soak_training.py
	$(BIN)/python scripts/bench_doctor.py
	$(BIN)/python scripts/bench_store.py
	$(BIN)/python scripts/bench_index.py
	$(BIN)/python scripts/bench_milvus.py

# The stamps depend on pyproject.toml: a changed dependency is installed at the next make. What the demo needs
# is a part of what tests need.
define install
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		python=$$(sh scripts/find_python.sh $(if $(PYTHON),"$(PYTHON)")) && "$$python" -m venv --clear $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(1)]'
	touch $@
endef

$(INSTALLED): pyproject.toml
	$(call install,dev)
	touch $(DEMO)

$(DEMO): pyproject.toml
	$(call install,demo)

clean:
	rm -rf $(VENV) .bench demo build *.egg-info
