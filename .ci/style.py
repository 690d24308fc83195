"Rules of style that a program can check: widths, sizes of cells, order of imports, what runs at import."
import ast
import json
import re
import subprocess
import sys
from statistics import median, quantiles

from library import FUNCTIONS, LIBRARY, ROOT, at_import, modules, notebooks

WIDTH = 110      # characters of a line
LONG_CELL = 45   # lines of an exported cell
# Folders of the library, and which of the others each may import
WINGS = dict(features=(), report=('features',), paddock=('features', 'report'), kaggle=(),
             share=('report', 'kaggle'))
LAST = ('demo', 'cli', 'docs')   # after the wings, in this order
CLOCK = ('time.time', 'time.perf_counter', 'time.monotonic', 'datetime.now', 'datetime.utcnow', 'date.today')


# --- Widths and sizes

def cells(path):
    "(id, cell, its source) for each cell of a notebook."
    for c in json.loads(path.read_text())['cells']: yield c.get('id', '?'), c, ''.join(c['source'])


def wide_lines(text, is_prose=False):
    """(number, length) of each line that is too wide.

    A lone address cannot be broken. In prose, neither can a row of a table, a picture or a mermaid drawing.
    """
    drawing = False
    for number, line in enumerate(text.split('\n'), 1):
        if line.startswith('```'): drawing = is_prose and not drawing and 'mermaid' in line
        if len(line) <= WIDTH or drawing or re.fullmatch(r'\W*https?://\S+', line): continue
        if is_prose and re.match(r'\s*(\||!\[.*\]\(.*\)$|<img )', line): continue
        yield number, len(line)


def widths():
    "Lines of code and prose have at most 110 characters."
    for path in [ROOT/'nbs'/p for p in notebooks()] + sorted((ROOT/'kaggle').rglob('*.ipynb')):
        for cell, c, source in cells(path):
            for number, length in wide_lines(source, c['cell_type'] != 'code'):
                yield f'{path.relative_to(ROOT)}, cell {cell}, line {number}: {length} characters'
    for path in sorted(p for folder in ('.ci', 'benchmarks', 'kaggle') for p in (ROOT/folder).rglob('*.py')):
        for number, length in wide_lines(path.read_text()):
            yield f'{path.relative_to(ROOT)}, line {number}: {length} characters'


def exported_cells():
    "(notebook, cell, lines but for directives and empty ones, definitions, first line) of exported cells."
    for path in notebooks():
        for cell, c, source in cells(ROOT/'nbs'/path):
            if c['cell_type'] != 'code' or not re.search(r'^#\| *export[is]?\b', source, re.M): continue
            lines = [line for line in source.split('\n') if line.strip() and not line.startswith('#|')]
            definitions = [o for o in ast.parse(source).body if isinstance(o, (*FUNCTIONS, ast.ClassDef))]
            yield path, cell, len(lines), len(definitions), next(iter(lines), '')


def sizes():
    "Exported cells are short, and most have one definition."
    found = list(exported_cells())
    lengths, several = sorted(o[2] for o in found), sum(o[3] > 1 for o in found)
    tenth = quantiles(lengths, n=10)[-1]
    print(f'{len(found)} exported cells: median {median(lengths):.0f} lines, 90% up to {tenth:.0f}, '
          f'longest {lengths[-1]}; {several/len(found):.0%} have more than one definition')
    for path, cell, length, _, first in found:
        if length > LONG_CELL: yield f'{path}, cell {cell}: {length} lines, at most {LONG_CELL}: {first[:50]}'


# --- Imports

def place(notebook):
    "Where a notebook stands: (0, its numbered name), (1, its wing), (2, its place among the last) or None."
    folder, _, name = notebook.rpartition('/')
    if folder: return (1, folder) if folder in WINGS else None
    if name in LAST: return 2, LAST.index(name)
    return (0, name) if name[0].isdigit() else None


def order():
    "Nothing imports from below: the numbered notebooks in their order, then the wings, then demo and cli."
    library = modules()
    for module in library.values():
        here = place(module.notebook)
        if here is None:
            yield f'{module.notebook}.ipynb has no place in the order; give it a number or put it into a wing'
            continue
        for name, node in module.imports(library):
            there = place(library[name].notebook)
            if there is None or there == here: continue
            if here[0] == there[0] == 1:
                if there[1] in WINGS[here[1]]: continue
                what = f'the wing {here[1]} does not import {there[1]}'
            elif there < here: continue
            else: what = 'nothing imports from below'
            yield f'{module.where(node)} imports {library[name].notebook}: {what}'
    yield from circles(library)


def circles(library):
    "Modules that import each other."
    below = {m.name: {name for name, _ in m.imports(library)} for m in library.values()}
    for a, names in below.items():
        for b in names:
            if a < b and a in below[b]: yield f'{a} and {b} import each other'


def at_rest():
    "Importing a module changes no warning filter, and reads neither sys.argv nor the clock."
    for module in modules().values():
        said = set()
        for node in at_import(module.tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ''
            if called.endswith(('filterwarnings', 'simplefilter')): what = 'changes the warning filters'
            elif called.endswith(CLOCK): what = 'reads the clock'
            elif isinstance(node, ast.Attribute) and ast.unparse(node) == 'sys.argv': what = 'reads sys.argv'
            else: continue
            problem = f'{module.where(node)}: {what} at import; do it in a function'
            if problem not in said: yield problem
            said.add(problem)


def prediction():
    "Prediction, intervals, report and own photos import no training."
    line = [f'{LIBRARY}.{name}' for name in ('views', 'run', 'tta', 'ensemble', 'intervals', 'blend')]
    wings = (f'{LIBRARY}.report.', f'{LIBRARY}.paddock.')
    names = [name for name in modules() if name in line or name.startswith(wings)]
    code = """import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if 'biomass_nb.train' in sys.modules: sys.exit(f'{name} imports biomass_nb.train')
"""
    res = subprocess.run([sys.executable, '-c', code, *names], cwd=ROOT, capture_output=True, text=True)
    if res.returncode: yield res.stderr.strip().split('\n')[-1]


def flags():
    "Texts of the code below the commands name no flag."
    for module in modules().values():
        if module.notebook.endswith('cli'): continue
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str): continue
            if re.fullmatch(r'--[\w-]+(=\S*)?', node.value): continue   # an argument for another program
            text = re.sub(r'pip \w+( --?[\w=-]+)+', '', node.value)
            for flag in dict.fromkeys(re.findall(r'(?<![\w-])(?<!var\()--[a-z][\w-]*', text)):
                yield f'{module.where(node)} names {flag}: say it in words, and let cli add the flag'
