PYTHON ?= python3
SEEDS ?= 20
SEED ?= 1
SECONDS ?= 60
C_STYLE = {BasedOnStyle: LLVM, IndentWidth: 4, ColumnLimit: 110, AllowShortLoopsOnASingleLine: true, \
          AllowShortIfStatementsOnASingleLine: WithoutElse}
C_FILES = $(wildcard csrc/*.[ch] bench/*.c tests/c/*.[ch] tests/fuzz/*.[ch] tests/proto/*.c)
IN = .venv/bin

# The tests start hundreds of processes; without caches each would compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: matrix demo recording test check format bench fuzz sim asan valgrind mutants clean .venv

test: .venv
	$(IN)/python -m pytest -n auto --dist worksteal $(ARGS)

demo: .venv
	$(IN)/python -m repram_cli.demo

recording: .venv
	$(IN)/python -m bench.recording

check: .venv build/types/repram_cli
	$(IN)/ruff check .
	$(IN)/ruff format --check .
	$(IN)/mypy repram build/types/repram_cli tests bench
	$(IN)/clang-format --dry-run -Werror --style='$(C_STYLE)' $(C_FILES)
	.ci/cppcheck
	$(IN)/python -m pytest -q tests/test_layers.py

format: .venv
	$(IN)/ruff check --fix-only -q .
	$(IN)/ruff format -q .
	$(IN)/clang-format -i --style='$(C_STYLE)' $(C_FILES)

bench: .venv
	@bench/prerequisites $(IN)/python
	@$(IN)/python -m bench $(or $(ARGS),all)

fuzz: .venv
	$(IN)/python -m tests.fuzz.run --seconds $(SECONDS) $(ARGS)

sim: .venv
	$(IN)/python -m tests.sim --seeds $(SEEDS) --first $(SEED) $(ARGS)

asan: .venv
	$(IN)/python -m tests.c.run --sanitize $(ARGS)

valgrind: .venv
	$(IN)/python -m tests.c.run --valgrind $(ARGS)

matrix: .venv # every handshake over every bad path, simulated and over real sockets: takes an hour
	$(IN)/python -m tests.sim --matrix $(or $(CONNECTIONS),50)
	$(IN)/python -m tests.proto.matrix --connections $(or $(CONNECTIONS),50)

mutants: .venv
	$(IN)/python -m tests.mutants.run $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info repram/*.so .*_cache

.venv: .venv/made

.venv/made: pyproject.toml setup.py csrc/build.py $(wildcard csrc/*.[ch])
	@.ci/prerequisites $(PYTHON)
	@test -x $(IN)/python || $(PYTHON) -m venv .venv
	$(IN)/python -m pip install -qq --disable-pip-version-check 'setuptools>=77' 'cffi>=1.17'
	$(IN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation -e '.[dev]'
	@touch $@

build/types/repram_cli: # mypy finds cli/ under the name that it is installed by
	@mkdir -p build/types && ln -sfn ../../cli $@
