# Each target does on a fresh machine all it needs: Python 3.11 or newer with venv is enough.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
OLDEST := .venv/oldest

.PHONY: demo test test-slow test-oldest cluster-test soak lint format lock screenshots clean bench bench-quick bench-gpu bench-profile bench-efficiency docs dist audit image

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@touch $@

demo: $(READY) ## search the handwritten digits; about a minute
	$(BIN)/search run spaces/digits.py
	@echo "open it in a browser: $(BIN)/search dashboard digits --tensorboard"

# The tests start some hundred processes: each would compile this package anew.
test: export PYTHONDONTWRITEBYTECODE =
test: export SOAK ?= 0.1
# mypy works while tests wait for processes of theirs.
test: $(READY) ## lint, types and tests; ALL=1: whole runs and a tenth of the soak, too, as CI does
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@nice $(BIN)/mypy > .venv/mypy.log & \
	$(BIN)/pytest -n auto --dist worksteal -m "not slow and not cluster$(if $(ALL),, and not soak and not whole)"; tests=$$?; \
	wait $$!; types=$$?; cat .venv/mypy.log; exit $$((tests | types))

test-slow: $(READY) ## the tests that take more than a minute
	$(BIN)/pytest -m slow

$(OLDEST)/.ready: $(READY) .ci/oldest.txt
	rm -rf $(OLDEST)
	$(BIN)/uv pip install --quiet --no-deps --require-hashes --python $(BIN)/python --target $(OLDEST) -r .ci/oldest.txt
	@touch $@

test-oldest: $(OLDEST)/.ready ## the trainer's tests with the oldest torch that pyproject.toml names
	PYTHONPATH=$(CURDIR)/$(OLDEST) $(BIN)/pytest -n auto --dist worksteal -m "not slow" tests/train

cluster-test: $(READY) ## a cluster over network namespaces, broken in every way; needs root; counts to docs/reliability.md; 20 minutes
	SOAK_PAGE=docs/reliability.md $(BIN)/pytest -m cluster

soak: $(READY) ## break real runs in every way, and write the counts to docs/reliability.md; SOAK=0.1: a tenth, three at a time, written nowhere
	SOAK_PAGE=$(if $(SOAK),,docs/reliability.md) SOAK=$(or $(SOAK),1) $(BIN)/pytest $(if $(SOAK),-n 3 --dist worksteal) -m soak

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(READY) ## after a change of the dependencies in pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml --extra dev --extra lite --extra onnx \
		--extra cluster --extra notify --extra postgres --extra timm \
		--generate-hashes --no-annotate --no-header --no-emit-index-url -o requirements.lock

docs: $(READY) ## the documents as a site, in site/; the reference pages are written anew
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

dist: $(READY) ## wheel and sdist, in dist/
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python

audit: $(READY) ## the versions of the lock beside the known vulnerabilities of OSV; Error 69: no network, nothing was compared
	@$(BIN)/python .ci/audit.py requirements.lock

image: ## the container image, by docker, podman or buildah, the first that works; DEVICE=cpu: without CUDA; OPTIONS: more words for it
	@for builder in docker podman buildah; do $$builder info > /dev/null 2>&1 && break; builder=; done; \
	case $$builder in \
		"") echo "make image needs docker, podman or buildah, and none of them works here"; exit 1 ;; \
		docker) ignore= ;; \
		*) ignore="--format docker --ignorefile docker/Dockerfile.dockerignore" ;; \
	esac; \
	$$builder build $$ignore --file docker/Dockerfile --tag search --build-arg DEVICE=$(or $(DEVICE),cuda) $(OPTIONS) .

screenshots: $(READY) ## the pictures of docs/, of the digits in the working directory; needs chromium
	$(BIN)/search run spaces/digits.py
	PYTHONPATH=tests $(BIN)/python -m browser

bench: $(READY) ## this project beside the script that people run today, on the CPU; under 20 minutes on two cores
	$(BIN)/python -m benchmarks.bench

bench-quick: $(READY) ## the same in under 3 minutes, without the studies and fine-tuning
	$(BIN)/python -m benchmarks.bench --quick

bench-gpu: $(READY) ## the same on a GPU; ten minutes
	@$(BIN)/python -m benchmarks.bench --gpu

bench-profile: $(READY) ## where the workers' time of a whole search goes, sampled
	$(BIN)/python -m benchmarks.sampled

bench-efficiency: $(READY) ## how many epochs a search needs, replayed from recorded learning curves
	$(BIN)/python -m benchmarks.efficiency

clean:
	rm -rf .venv runs studies.db* site dist
