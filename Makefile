# Two commands: `make app` serves the app with the demo inside, `make test` runs everything the CI runs.
PYTHON ?= python3.11
PY := .venv/bin/python
export OMP_NUM_THREADS ?= 1
export PYTHONPATH := .
# bytecode is written whatever the shell says: tests and pages start a hundred processes that would each compile everything
unexport PYTHONDONTWRITEBYTECODE

.PHONY: app install test quick lint assets bench browser clean

app: .venv/app
	$(PY) -m streamlit run app/server.py

install: .venv/app

.venv/app: requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "FuseScope needs Python 3.11 ($(PYTHON) was not found; set PYTHON=...)"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements-pretrained.txt requirements-ray.txt requirements.txt .venv/app
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Debian as root gets its own Chromium; anywhere else the browser tests say where they looked.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	  else echo "No Chromium on the PATH: install one (Debian: apt install chromium), or the browser tests will say where they looked."; fi

lint: .venv/dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports
	$(PY) -m mypy core app

test: .venv/dev browser lint
	$(PY) -m pytest -q -n 2 --dist loadfile --instafail --durations=12

# While one works: everything that needs no browser, no Ray and no second of its own.
quick: .venv/dev lint
	$(PY) -m pytest -q -n 2 --dist worksteal -m "not slow and not browser" --ignore=tests/browser --ignore=tests/app

assets: .venv/app
	$(PY) -m core demo build

bench: .venv/app
	$(PY) -m core bench

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
