"README.md, and the drawing in CONTRIBUTING.md, from nbs/index.ipynb: `python .ci/readme.py` writes them, `--check` only compares."
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

SITE = 'https://biomass-nb.github.io/biomass_nb/'


def page(path):
    "The page that nbdev and Quarto make of a notebook: its number is not in the address."
    folder, _, name = path.rpartition('/')
    return f"{folder}{'/' if folder else ''}{re.sub(r'^[0-9]+[a-zA-Z0-9]*_', '', name.lower())}.html"


def render(notebook):
    "The notebook as Markdown for GitHub, and its pictures by file name."
    nb = nbformat.read(notebook, 4)
    nb.cells = [c for c in nb.cells if not re.match(r'#\| *hide', c.source)]
    alts = []
    for c in nb.cells:
        if c.cell_type != 'code': continue
        alts += re.findall(r'^#\| *fig-alt: *"(.*)"$', c.source, re.M)
        if re.search(r'^#\| *echo: *false', c.source, re.M): c.metadata.tags = ['hide_input']
        c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M).strip()
    nb.metadata.language_info = {'name': 'python'}
    exporter = MarkdownExporter(config={'NbConvertBase': {'display_data_priority': ['image/jpeg', 'image/png', 'text/markdown', 'text/plain']},
                                        'TagRemovePreprocessor': {'enabled': True, 'remove_input_tags': ['hide_input']}})
    body, resources = exporter.from_notebook_node(nb)
    alts = iter(alts)
    body = re.sub(r'!\[(?:jpeg|png)\]', lambda m: f"![{next(alts, '')}]", body).replace('```{mermaid}', '```mermaid')
    pictures = {Path(name).name: data for name, data in resources['outputs'].items()}
    for name in resources['outputs']: body = body.replace(f'({name})', f'(README_files/{Path(name).name})')
    body = re.sub(r'\((?!http)([\w./]+)\.(?:ipynb|qmd)\b', lambda m: f'({SITE}{page(m[1])}', body)
    return re.sub(r'\n{3,}', '\n\n', body).strip() + '\n', pictures


def main():
    root = Path(__file__).resolve().parent.parent
    body, pictures = render(root/'nbs'/'index.ipynb')
    drawing = re.search(r'^```mermaid\n(.*?)^```$', body, re.M | re.S)[1]
    copies = {root/name: re.sub(rf'(^```{re.escape(kind)}\n).*?(^```$)', lambda m: m[1] + drawing + m[2], (root/name).read_text(), flags=re.M | re.S).encode()
              for name, kind in (('CONTRIBUTING.md', 'mermaid'), ('nbs/contributing.qmd', '{mermaid}'))}
    wanted = {root/'README.md': body.encode(), **copies, **{root/'README_files'/k: v for k, v in pictures.items()}}
    if '--check' in sys.argv:
        return [str(p.relative_to(root)) for p, v in wanted.items() if not p.exists() or p.read_bytes() != v]
    for p, v in wanted.items():
        p.parent.mkdir(exist_ok=True)
        p.write_bytes(v)
    return []


if __name__ == '__main__':
    if differ := main(): sys.exit(f"{', '.join(differ)}: not what nbs/index.ipynb gives; run make readme")
