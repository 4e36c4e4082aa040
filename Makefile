.PHONY: setup demo test test-install mutants check docs lock bench

setup:  ## create .venv with the locked packages
	@tools/setup.sh

demo: setup  ## pre-train on formulas, evaluate it and a random control on embedded data, print the leaderboard
	@tools/demo.sh

test: setup  ## every test; `make test ARGS="-m 'not slow'"` for the fast ones
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-install: setup  ## build the wheel, install it as people do and run it; minutes and 7 GB, PYTHON= chooses the interpreter
	@TRANSFER_TEST_INSTALL=$$(tools/python.sh) .venv/bin/python -m pytest tests/install $(ARGS)

mutants: setup  ## change each of four packages in 250 places, and print which changes no test notices (docs/mutants.md)
	@for package in checkpoints/keys datasets metrics results; do tools/mutate.sh transfer/$$package $(ARGS); done

check: setup  ## format, lint, types, layers
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy
	@.venv/bin/lint-imports

docs: setup  ## write the generated parts of the documents
	@.venv/bin/python tools/docs.py

lock:  ## resolve the dependencies anew, without registry addresses
	@.venv/uv/bin/uv pip compile --universal --python-version 3.11 --no-emit-index-url --no-annotate --custom-compile-command "make lock" --group dev --group pose --upgrade pyproject.toml -o requirements.lock

bench: setup  ## overhead of our runner against mmengine's own, in one run
	@.venv/bin/python tools/bench/overhead.py
