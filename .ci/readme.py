"""README.md from nbs/index.ipynb.

    python .ci/readme.py     # writes it and its pictures
"""
import re
from pathlib import Path

import nbformat
from library import ROOT
from nbconvert import MarkdownExporter

SITE = 'https://biomass-nb.github.io/biomass_nb/'
KINDS = ['image/jpeg', 'image/png', 'text/markdown', 'text/plain']
CONFIG = {'NbConvertBase': {'display_data_priority': KINDS},
          'TagRemovePreprocessor': {'enabled': True, 'remove_input_tags': ['hide_input']}}


def page(path):
    "The page that nbdev and Quarto make of a notebook: its number is not in the address."
    folder, slash, name = path.rpartition('/')
    return f"{folder}{slash}{re.sub(r'^[0-9]+[a-zA-Z0-9]*_', '', name.lower())}.html"


def prepare(nb):
    "Drop hidden cells and directives. Returns the alt texts of the figures, in their order."
    alts = []
    nb.cells = [c for c in nb.cells if not re.match(r'#\| *hide', c.source)]
    for c in (c for c in nb.cells if c.cell_type == 'code'):
        alts += re.findall(r'^#\| *fig-alt: *"(.*)"$', c.source, re.M)
        if re.search(r'^#\| *echo: *false', c.source, re.M): c.metadata.tags = ['hide_input']
        c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M).strip()
    nb.metadata.language_info = {'name': 'python'}
    return iter(alts)


def render(notebook):
    "The notebook as Markdown for GitHub, and its pictures by file name."
    nb = nbformat.read(notebook, 4)
    alts = prepare(nb)
    body, resources = MarkdownExporter(config=CONFIG).from_notebook_node(nb)
    body = re.sub(r'!\[(?:jpeg|png)\]', lambda m: f"![{next(alts, '')}]", body)
    body = body.replace('```{mermaid}', '```mermaid')
    pictures = {Path(name).name: data for name, data in resources['outputs'].items()}
    for name in resources['outputs']: body = body.replace(f'({name})', f'(README_files/{Path(name).name})')
    body = re.sub(r'\((?!http)([\w./]+)\.(?:ipynb|qmd)\b', lambda m: f'({SITE}{page(m[1])}', body)
    return re.sub(r'\n{3,}', '\n\n', body).strip() + '\n', pictures


def wanted():
    "{path: content} of all files that nbs/index.ipynb gives."
    body, pictures = render(ROOT/'nbs'/'index.ipynb')
    files = {'README.md': body.encode(), **{f'README_files/{name}': data for name, data in pictures.items()}}
    return {ROOT/name: content for name, content in files.items()}


def differing():
    "Paths of files that are not what nbs/index.ipynb gives."
    files = wanted().items()
    return [str(p.relative_to(ROOT)) for p, content in files if not p.exists() or p.read_bytes() != content]


def main():
    for p, content in wanted().items():
        p.parent.mkdir(exist_ok=True)
        p.write_bytes(content)


if __name__ == '__main__': main()
