"The whole test: clean notebooks, exported library, README, hygiene of outputs, the pages of the site, the kernels of kaggle/, then every notebook by nbdev_test."
import filecmp
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from copy import deepcopy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(p for p in (ROOT/'nbs').rglob('*.ipynb') if not any(s.startswith(('.', '_')) for s in p.relative_to(ROOT).parts))
BIN = Path(sys.executable).parent


def copy_of_tree(folder):
    "A copy of the project in `folder`, without environments and build products."
    ignore = shutil.ignore_patterns('.*', '_proc', '_docs', 'dist', 'build', 'demo', '__pycache__')
    return Path(shutil.copytree(ROOT, Path(folder)/ROOT.name, symlinks=True, ignore=ignore))


def notebooks_are_clean():
    "nbdev_clean would change nothing."
    from execnb.nbio import nb2str, read_nb
    from nbdev.clean import clean_nb
    for p in NOTEBOOKS:
        nb = json.loads(p.read_text())
        cleaned = deepcopy(nb)
        clean_nb(cleaned)
        if cleaned != nb or nb2str(read_nb(p)) != p.read_text(): yield f'{p.name}: not clean; run nbdev_clean'


def export_changes_nothing():
    "nbdev_export gives exactly the committed library."
    with tempfile.TemporaryDirectory() as tmp:
        copy = copy_of_tree(tmp)
        shutil.rmtree(copy/'biomass_nb')
        subprocess.run([BIN/'nbdev_export'], cwd=copy, check=True)
        old, new = ({p.relative_to(d/'biomass_nb') for p in (d/'biomass_nb').rglob('*.py')} for d in (ROOT, copy))
        for p in sorted(old | new):
            if p not in old or p not in new or not filecmp.cmp(ROOT/'biomass_nb'/p, copy/'biomass_nb'/p, shallow=False): yield f'biomass_nb/{p}: not what nbdev_export gives'


def script(name):
    "A script beside this one, as a module."
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f'{name}.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def readme_agrees():
    "README.md is what nbs/index.ipynb gives."
    sys.argv.append('--check')
    for p in script('readme').main(): yield f'{p}: not what nbs/index.ipynb gives; run make readme'


def outputs_are_presentable():
    "No errors, warnings or machine paths in outputs; small files."
    for p in NOTEBOOKS:
        if p.stat().st_size > 300_000: yield f'{p.name}: {p.stat().st_size/1000:.0f} kB; keep a notebook under 300 kB'
        for c in json.loads(p.read_text())['cells']:
            for o in c.get('outputs', []):
                text = ''.join(o.get('text', []))
                if o['output_type'] == 'error' or o.get('name') == 'stderr': yield f"{p.name}, cell {c['id']}: an error or warning is in the outputs"
                if re.search(r'/home/|/root/|/tmp/', text): yield f"{p.name}, cell {c['id']}: a path of the machine is in the outputs"


def site_is_sound():
    "The pages that nbdev makes for the site: every link, anchor, picture, callout and symbol; first that what is broken is found."
    yield from script('site').main()


def notebooks_pass():
    "nbdev_test runs every notebook; none may be left out."
    env = {**os.environ, 'TQDM_DISABLE': '1', 'PYTHONWARNINGS': 'ignore'}
    with tempfile.TemporaryDirectory() as cache:
        res = subprocess.Popen([BIN/'nbdev_test', '--do_print', '--timing'], cwd=ROOT, env={**env, 'BIOMASS_NB_CACHE': cache}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for line in res.stdout:
            print(line, end='', flush=True)
            lines.append(line.strip())
    done = {Path(line.removeprefix('- Completed ')).name for line in lines if line.startswith('- Completed ')}
    failed = set(lines[lines.index('=' * 50) + 1:]) if '=' * 50 in lines else set()
    if res.wait() and not failed: failed = {'nbdev_test ended with an error'}
    passed = sorted(done - failed)
    for name in sorted(failed): yield f'{name}: failed'
    for p in NOTEBOOKS:
        if p.name not in done | failed: yield f'{p.name}: was not tested'
    if not passed: yield 'no notebook was tested'
    notebooks_pass.passed = len(passed)


def kernels_pass():
    "The kernels run from top to bottom on an imitation of Kaggle, without network."
    if subprocess.run([sys.executable, '-W', 'ignore', ROOT/'.ci'/'kaggle.py']).returncode: yield 'kaggle/: a kernel failed'


def main():
    passed, failed = 0, 0
    for check in (notebooks_are_clean, export_changes_nothing, readme_agrees, outputs_are_presentable, site_is_sound, kernels_pass, notebooks_pass):
        print(f'--- {check.__doc__}', flush=True)
        problems = list(check())
        for o in problems: print('FAILED', o)
        passed += getattr(check, 'passed', not problems)
        failed += len(problems)
    print(f'{passed} passed, {failed} failed')
    return failed > 0


if __name__ == '__main__': sys.exit(main())
