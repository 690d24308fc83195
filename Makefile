# The two commands of the README: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test readme browser-test cluster-test wheel-test clean

demo: $(VENV)/ready
	$(BIN)/biomass_demo --out demo

test: $(VENV)/ready
	$(BIN)/python .ci/test.py

readme: $(VENV)/ready  ## README.md from nbs/index.ipynb
	$(BIN)/python .ci/readme.py

browser-test: $(VENV)/ready  ## The page of `biomass_app` in Debian's chromium
	$(BIN)/python .ci/browser.py

cluster-test: $(VENV)/ready  ## Two nodes of Ray on this machine, one of which is killed
	$(BIN)/python -W ignore .ci/cluster.py

wheel-test:  ## The wheel alone, with the newest dependencies and without nbdev
	rm -rf dist .venv-wheel
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install --quiet --upgrade pip
	.venv-wheel/bin/pip wheel --quiet --no-deps --wheel-dir dist .
	.venv-wheel/bin/pip install --quiet "$$(echo dist/*.whl)[pretrained]"
	.venv-wheel/bin/python .ci/versions.py
	cd dist && ../.venv-wheel/bin/biomass_demo --quick --out demo
	cd dist && ../.venv-wheel/bin/biomass_ensemble --run demo/run --run demo/run2 --data demo/data \
		--bad_photos mean 2>&1 | grep 'demo/run2/config.json: no such file'

$(VENV)/ready: settings.ini constraints.txt setup.py pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed; make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .venv-wheel build dist *.egg-info _proc _docs demo
