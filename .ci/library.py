"The exported library, read from its files: the notebook of a module, what it defines, what it imports."
import ast
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = 'biomass_nb'
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def notebooks(root=ROOT):
    "Paths of all notebooks, relative to nbs/."
    paths = sorted(p.relative_to(root/'nbs') for p in (root/'nbs').rglob('*.ipynb'))
    return [p for p in paths if not any(part.startswith(('.', '_')) for part in p.parts)]


def copy_of_tree(folder):
    "A copy of the project in `folder`, without environments and build products."
    ignore = shutil.ignore_patterns('.*', '_proc', '_docs', 'dist', 'build', 'demo', '__pycache__')
    return Path(shutil.copytree(ROOT, Path(folder)/ROOT.name, symlinks=True, ignore=ignore))


def at_import(node):
    "Nodes that run when the module is imported: everything but the bodies of functions."
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Lambda): continue
        parts = [*child.decorator_list, child.args] if isinstance(child, FUNCTIONS) else [child]
        for part in parts:
            yield part
            yield from at_import(part)


class Module:
    "One exported module."
    def __init__(self, path, root):
        self.path, code = path, path.read_text()
        self.name = '.'.join(path.relative_to(root).with_suffix('').parts)
        self.tree, self.lines = ast.parse(code), code.split('\n')
        made_of = re.search(r'File to edit: (\S+)\.ipynb', code)[1]
        # The path below nbs/: 'features/embed'
        self.notebook = (path.parent/made_of).resolve().relative_to(root/'nbs').as_posix()

    def where(self, node):
        "The notebook and the cell that a node comes from."
        above = (re.match(r'# %% \S+ #(\S+)', line) for line in self.lines[node.lineno - 1::-1])
        cell = next((m[1] for m in above if m), 'auto')
        return f'{self.notebook}.ipynb, cell {cell}'

    def names(self):
        "What the module defines at its top; a patched method is called Class.method."
        from nbdev.doclinks import patch_name
        defined = [patch_name(o) for o in self.tree.body if isinstance(o, (*FUNCTIONS, ast.ClassDef))]
        return {name for o in defined for name in ([o] if isinstance(o, str) else o)}

    def imports(self, known, lazy=True):
        "(module, node) for each import of a module in `known`; without `lazy` only those at import time."
        for node in ast.walk(self.tree) if lazy else at_import(self.tree):
            if isinstance(node, ast.Import): wanted = [o.name for o in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = self.name.split('.')[:-node.level] if node.level else []
                source = '.'.join([*above, *([node.module] if node.module else [])])
                wanted = [o if (o := f'{source}.{alias.name}') in known else source for alias in node.names]
            else: continue
            for name in dict.fromkeys(wanted):
                if name in known and name != self.name: yield name, node


def modules(root=ROOT):
    "Modules of the library by name."
    root = root.resolve()
    paths = sorted(p for p in (root/LIBRARY).rglob('*.py') if not p.name.startswith('_'))
    return {m.name: m for m in (Module(p, root) for p in paths)}
