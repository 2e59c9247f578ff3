# Two commands: `make search` runs the main job, `make test` the tests. Both set up what they need.
PYTHON ?= python3
BIN := .venv/bin
# Threads that spin while they wait slow each other down on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE
SEARCH ?= --target host --data fashion-mnist --teacher example:fashion-mnist --family nago,mbconv --max-latency 0.1x --budget 8min

.PHONY: search test thorough setup data clean

search: setup data
	@sh tools/system_packages.sh gcc libc6-dev
	$(BIN)/autokd-edge search $(SEARCH)

test: setup data
	@sh tools/system_packages.sh postgresql chromium openssh-server
	@sh tools/system_packages.sh debootstrap qemu-user-static qemu-user openssh-client gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile

# What takes minutes more: every operation in every precision, a check over two boards, the emulated Arm board.
thorough: setup data
	$(BIN)/pytest -m thorough

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autokd-edge needs Python 3.11 or newer; got " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "no virtual environment: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

data:
	@sh tools/fashion_mnist.sh

clean:
	rm -rf .venv .data build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
