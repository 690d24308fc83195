"""The whole test; or some of its checks, or what they are called.

    python .ci/test.py
    python .ci/test.py --only widths flags     # while one works
    python .ci/test.py --list
"""
import atexit
import filecmp
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from copy import deepcopy
from functools import cache
from pathlib import Path

import notebooks as runner
import style
from library import ROOT, copy_of_tree, notebooks

BIN = Path(sys.executable).parent


def script(name):
    "A script beside this one, loaded when needed: each notebook's process loads this file, so it is light."
    spec = importlib.util.spec_from_file_location(f'ci_{name}', Path(__file__).with_name(f'{name}.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def notebooks_are_clean():
    "nbdev_clean would change nothing."
    from execnb.nbio import nb2str, read_nb
    from nbdev.clean import clean_nb
    for path in notebooks():
        text = (ROOT/'nbs'/path).read_text()
        nb = json.loads(text)
        cleaned = deepcopy(nb)
        clean_nb(cleaned)
        if cleaned != nb or nb2str(read_nb(ROOT/'nbs'/path)) != text:
            yield f'{path}: not clean; run nbdev_clean'


def export_changes_nothing():
    "nbdev_export gives exactly the committed library."
    with tempfile.TemporaryDirectory() as tmp:
        copy = copy_of_tree(tmp)
        shutil.rmtree(copy/'biomass_nb')
        subprocess.run([BIN/'nbdev_export'], cwd=copy, check=True)
        files = {p.relative_to(tree) for tree in (ROOT, copy) for p in (tree/'biomass_nb').rglob('*.py')}
        for p in sorted(files):
            pair = ROOT/p, copy/p
            if not all(o.exists() for o in pair) or not filecmp.cmp(*pair, shallow=False):
                yield f'{p}: not what nbdev_export gives'


def readme_agrees():
    "README.md is what nbs/index.ipynb gives."
    for path in script('readme').differing(): yield f'{path}: not what nbs/index.ipynb gives; run make readme'


def outputs_are_presentable():
    "No errors, warnings or machine paths in outputs; small files."
    for path in notebooks():
        if (size := (ROOT/'nbs'/path).stat().st_size) > 300_000:
            yield f'{path}: {size/1000:.0f} kB; keep a notebook under 300 kB'
        for cell, c, _ in style.cells(ROOT/'nbs'/path):
            for output in c.get('outputs', []):
                if output['output_type'] == 'error' or output.get('name') == 'stderr':
                    yield f'{path}, cell {cell}: an error or warning is in the outputs'
                if re.search(r'/home/|/root/|/tmp/', ''.join(output.get('text', []))):
                    yield f'{path}, cell {cell}: a path of the machine is in the outputs'


def site_is_sound():
    "Links, alt texts, symbols, tables, widths, sidebar and drawing of the site; first, faults are found."
    yield from script('site').main()


def anything_is_answered():
    "Tables, photos, paths and run folders that nobody thought of: a command gives grams, or one line."
    if subprocess.run([sys.executable, '-W', 'ignore', ROOT/'.ci'/'fuzz.py']).returncode: yield 'see above'


def faults_are_survived():
    "Commands are killed, interrupted, met by a full disk; the same command again gives the whole result."
    if subprocess.run([sys.executable, ROOT/'.ci'/'faults.py']).returncode: yield 'see above'


@cache
def kernels():
    "The test of the kernels, started. It runs beside the other checks."
    command = [sys.executable, '-W', 'ignore', ROOT/'.ci'/'kaggle.py']
    process = subprocess.Popen(command, env={**os.environ, 'OMP_NUM_THREADS': '1'}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    atexit.register(process.kill)
    return process


def kernels_pass():
    "The kernels run from top to bottom on an imitation of Kaggle, without network."
    print(kernels().communicate()[0].rstrip())
    if kernels().returncode: yield 'kaggle/: a kernel failed'


def notebooks_pass():
    "Every notebook runs from top to bottom."
    results = runner.main()
    for path, passed in results.items():
        if not passed: yield f'{path}: failed'
    if not results: yield 'no notebook was tested'
    notebooks_pass.passed = sum(results.values())


CHECKS = dict(
    clean=notebooks_are_clean, export=export_changes_nothing, readme=readme_agrees,
    outputs=outputs_are_presentable, widths=style.widths, sizes=style.sizes, order=style.order,
    at_rest=style.at_rest, prediction=style.prediction, flags=style.flags, site=site_is_sound,
    notebooks=notebooks_pass, anything=anything_is_answered, faults=faults_are_survived,
    kernels=kernels_pass)


def main():
    parser = ArgumentParser(description='Test the project.')
    parser.add_argument('--only', nargs='+', choices=CHECKS, default=CHECKS, metavar='CHECK')
    parser.add_argument('--list', action='store_true', help='show what the checks are called')
    args = parser.parse_args()
    if args.list:
        for name, check in CHECKS.items(): print(f'{name:12} {check.__doc__}')
        return 0
    passed, failed = 0, 0
    if 'kernels' in args.only: kernels()
    for name in args.only:
        check = CHECKS[name]
        print(f'--- {name}: {check.__doc__}', flush=True)
        problems = list(check())
        for problem in problems: print('FAILED', problem, flush=True)
        passed += getattr(check, 'passed', not problems)
        failed += len(problems)
    print(f'{passed} passed, {failed} failed')
    return failed > 0


if __name__ == '__main__': sys.exit(main())
