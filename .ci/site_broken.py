"The proof of site.py: a small sound site, and what must be found when one thing in it is broken."
import json
import tempfile
from pathlib import Path

SITE = 'https://biomass-nb.github.io/biomass_nb'
GITHUB = 'https://github.com/biomass-nb/biomass_nb'

DRAWING = '''flowchart TD
  a["Tables"]
  b["Wing"]
  c["Home"]
  a --> b --> c
'''
FRONT = '---\ntitle: {}\ndescription: d\noutput-file: {}.html\n---'
INDEX = f'## Chosen {{#chosen}}\n\n```{{mermaid}}\n{DRAWING}```'
DATA = f"""## What's new, in 2. `code` here

See [`grams`]({SITE}/data.html#grams), [the photos](#whats-new-in-2.-code-here), [home](index.ipynb),
[again](index.html#chosen), [text](about.qmd), [a leaf](wing/leaf.ipynb#veins),
[a file]({GITHUB}/blob/main/README.md) and ![a hill](hill.png). `grams of` and

```python
`grams` ::: [x](y.ipynb)
```

::: {{.callout-note}}
A note.
:::
"""
LEAF = f"""## Veins

[data](../00_data.ipynb#grams), [`leaf`]({SITE}/wing/leaf.html#leaf) and ![a hill](../hill.png).
"""
SHOWN = (f'---\n\n[source]({GITHUB}/blob/main/lib/{{}}.py#L1)\n\n### {{}}\n\n```python\nf(x)\n```\n\n'
         '| name | meaning |\n| --- | --- |\n| <code>x</code> | A number |')
QUARTO = '''
format:
  html:
    toc: true
    grid: {sidebar-width: 200px, body-width: 860px, margin-width: 180px, gutter-width: 1rem}
website:
  page-navigation: true
  navbar: {right: [{href: about.qmd, text: about}, {href: "https://example.org", text: x}]}
  page-footer: {left: "[a](/about.qmd)"}
'''
SIDEBAR = '''website:
  sidebar:
    contents:
      - {section: Home, contents: [index.ipynb]}
      - {section: Tables, contents: [00_data.ipynb]}
      - {section: Wing, contents: [{href: wing/leaf.ipynb, text: a leaf}, about.qmd]}
'''
SYMBOLS = {'lib.data': {'lib.data.grams': ('data.html#grams', '')},
           'lib.wing.leaf': {'lib.wing.leaf.leaf': ('wing/leaf.html#leaf', '')},
           'lib.home': {'lib.home.chosen': ('index.html#chosen', '')}}
IMPORTS = {'00_data': set(), 'wing/leaf': {'00_data'}, 'index': {'wing/leaf'}}


def cell(kind, source, *outputs):
    "A cell; each output is its data, {mime type: content}."
    made = dict(cell_type=kind, id='made-up', source=source, metadata={})
    if kind == 'code': made['outputs'] = [dict(output_type='display_data', data=o) for o in outputs]
    return made


def small_site():
    "A sound site of three notebooks and a .qmd: {path: cells or text}."
    documented = lambda module, name: cell('code', f'#| echo: false\nshow_doc({name})',
                                           {'text/markdown': SHOWN.format(module, name)})
    drawn = cell('code', '#| fig-alt: "A line: it rises."\nplot()', {'image/png': 'x'}, {'text/plain': 'x'})
    opening = lambda title: [cell('markdown', f'# {title}\n\n> d')]
    return {
        'proc/index.ipynb': [cell('raw', FRONT.format('home', 'index')), cell('markdown', INDEX)],
        'proc/00_data.ipynb': [cell('raw', FRONT.format('data', 'data')), cell('markdown', DATA),
                               documented('data', 'grams'), drawn],
        'proc/wing/leaf.ipynb': [cell('raw', FRONT.format('leaf', 'leaf')), cell('markdown', LEAF),
                                 documented('wing/leaf', 'leaf')],
        'proc/about.qmd': '---\ntitle: t\ndescription: d\n---\n\n{{< include ../CONTRIBUTING.md >}}\n',
        'proc/hill.png': '',
        'proc/sidebar.yml': SIDEBAR,
        'proc/_quarto.yml': QUARTO,
        'proc/styles.css': 'pre, pre > code { font-size: 12px; }',
        'nbs/index.ipynb': opening('home'), 'nbs/00_data.ipynb': opening('data'),
        'nbs/wing/leaf.ipynb': opening('leaf'),
        'CONTRIBUTING.md': f'# Help\n\n[below](#below) [site]({SITE}/index.html#chosen)\n\n## Below\n',
        'README.md': f'# R\n\n[data]({SITE}/data.html#grams) [help](CONTRIBUTING.md#below)\n\n'
                     f'```mermaid\n{DRAWING}```\n',
        'kaggle/k/k.ipynb': f'see {SITE}/data.html.',
        'lib/data.py': '', 'lib/wing/leaf.py': '',
        'syms.json': json.dumps(SYMBOLS),
    }


NOTE = '::: {.callout-note}\nA note.\n:::'
LINK = f'[`grams`]({SITE}/data.html#grams)'
FIGURE = '#| fig-alt: "A line: it rises."'
FAULTS = {   # file: what is replaced, by what, what has to be found
    'proc/00_data.ipynb': [
        ('description: d\n', '', 'no description'),
        ('title: data\n', '', 'no title'),
        ('title: data', 'title: a: b', 'no YAML'),
        ('output-file: data', 'output-file: index', 'has the address index.html'),
        ('(index.ipynb)', '(gone.ipynb)', 'leads to a page that is not there'),
        ('(about.qmd)', '(gone.qmd)', 'leads to a page that is not there'),
        ('(index.html#chosen)', '(00_data.html)', 'the page is data.html; nbdev drops the number'),
        ('#chosen', '#other', 'has no anchor #other'),
        ('(#whats-new-in-2.-code-here)', '(#whats-new)', 'has no anchor #whats-new'),
        ('data.html#grams', '00_data.html#grams', 'the page is data.html'),
        ('data.html#grams', 'data.html#grams.add', 'a method needs its own show_doc'),
        ('main/README', 'main/READMORE', 'which the repository has not'),
        ('main/README', 'dev/README', 'another branch than main'),
        ('(index.ipynb)', '(../README.md)', 'leads out of the site'),
        ('(wing/leaf.ipynb', '(leaf.ipynb', 'leads to a page that is not there'),
        ('#veins', '#stem', 'has no anchor #stem'),
        ('hill.png', 'hole.png', 'leads to a file that is not there'),
        ('![a hill]', '![]', 'has no alt text'),
        ('![a hill](hill.png)', '<img src="hill.png">', 'has no alt text'),
        (LINK, f'[{LINK}](index.ipynb)', 'a link within a link'),
        (LINK, '`grams()`', '`grams` is no link'),
        ('### grams', '### gram', 'exported but not documented'),
        ('\nf(x)', '\ndef f(x)', 'is shown with def'),
        ('f(x)', f'f(x) # [`grams`]({SITE}/data.html#grams)', 'raw links in its signature'),
        ('A number', '`NoneType`', 'has the type NoneType'),
        ('A number', '', 'says nothing about x'),
        ('plot()', f"plot({'1, '*40})", 'characters is cut'),
        ('\nA note.\n:::', '\nA note.\n', 'is never closed'),
        ('::: {.callout-note}', '', 'a ::: that closes nothing'),
        ('.callout-note', '.callout-notes', 'is no callout'),
        ('{.callout-note}', '{callout-note}', 'is no callout'),
        ('\n\n::: {', '\nText\n::: {', 'follows a line of text'),
        (NOTE, '> [!NOTE]\n> A note.', 'on GitHub only'),
        (NOTE, ':: {.callout-note}\nA note.\n', 'two colons'),
        (f'{FIGURE}\n', '', 'a figure without alt text'),
        ('"A line: it rises."', 'A line: it rises.', 'no YAML'),
        ('"A line: it rises."', '""', 'a figure without alt text'),
        (FIGURE, '#| echo', 'write #| name: value'),
        ('text/plain', 'image/jpeg', '2 figures, not as many alt texts')],
    'proc/wing/leaf.ipynb': [
        ('(../00_data.ipynb', '(00_data.ipynb', 'leads to a page that is not there'),
        ('#grams', '#grain', 'has no anchor #grain'),
        ('(../hill.png)', '(hill.png)', 'leads to a file that is not there'),
        ('wing/leaf.html', 'leaf.html', 'leads to a page that is not there'),
        (f'[`leaf`]({SITE}/wing/leaf.html#leaf)', '`leaf`', '`leaf` is no link'),
        ('### leaf', '### stem', 'exported but not documented')],
    'proc/index.ipynb': [
        ('a --> b', 'b --> a', 'b imports 00_data'),
        ('a --> b --> c', 'c --> a', 'c imports 00_data'),
        ('a --> b', 'a --> d', 'no such node'),
        ('"Tables"', '"Home"', '00_data is in no box'),
        ('"Wing"', '"Home"', 'wing/leaf is in no box'),
        ('"Home"', '"House"', 'House is no section'),
        ('```{mermaid}', '```', 'no drawing')],
    'proc/about.qmd': [
        ('title: t\n', '', 'no title'),
        ('../CONTRIBUTING.md', '../HELP.md', 'which is not there')],
    'proc/sidebar.yml': [
        ('about.qmd', 'other.qmd', 'no such page'),
        (', about.qmd', '', 'not in the sidebar'),
        ('wing/leaf.ipynb', 'leaf.ipynb', 'not in the sidebar'),
        ('about.qmd', 'about.qmd, index.ipynb', 'is there twice'),
        ('section: Wing', 'section: Feather', 'wing/leaf is in no box')],
    'proc/_quarto.yml': [
        ('about.qmd', 'gone.qmd', 'no such page in the navbar'),
        ('  html:', '  commonmark: default\n  html:', 'draws with a browser'),
        ('/about.qmd', '/gone.qmd', 'leads to a page that is not there'),
        ('/about.qmd', 'about.qmd', 'leads nowhere from a page in a folder'),
        ('page-navigation: true', 'page-navigation: false', 'no previous and next'),
        ('860px', '800px', 'characters of code fit'),
        ('180px', '250px', 'characters of code fit')],
    'proc/styles.css': [('12px', '14px', 'characters of code fit')],
    'nbs/00_data.ipynb': [('> d', '> d\n\nAn opening.', '"An opening.…" is not on the site')],
    'CONTRIBUTING.md': [
        ('#below', '#above', 'has no heading #above'),
        ('(#below)', '(README.md)', 'leads to a file that is not there')],
    'README.md': [
        ('[data](', '![](', 'has no alt text'),
        ('data.html', '00_data.html', 'the page is data.html'),
        ('CONTRIBUTING.md#below', 'CONTRIBUTING.md#above', 'has no heading #above'),
        ('CONTRIBUTING.md', 'HELP.md', 'leads to a file that the repository has not'),
        ('Tables', 'Photos', 'not the drawing')],
    'kaggle/k/k.ipynb': [('/data.html', '/00_data.html', 'the page is data.html')],
    'syms.json': [
        ('lib.home.chosen', 'lib.home.grams', 'lib.data exports this name too'),
        ('index.html#', 'gone.html#', 'lib.home.chosen has no page')],
}
BROKEN = [(file, *fault) for file, faults in FAULTS.items() for fault in faults]


def write(path, content):
    "Write a file. Cells become a notebook."
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(dict(cells=content)))


def problems(root, check):
    "Check the small site in `root`."
    syms = json.loads((root/'syms.json').read_text())
    tops = {module: {name.rpartition('.')[2] for name in found} for module, found in syms.items()}
    return check(root/'proc', root, syms, tops, IMPORTS)


def replaced(content, old, new):
    "A text, or cells and all strings in them, with `old` replaced."
    if isinstance(content, str): return content.replace(old, new)
    if isinstance(content, list): return [replaced(o, old, new) for o in content]
    return {replaced(k, old, new): replaced(v, old, new) for k, v in content.items()}


def self_test(check):
    "A sound site has no problem, and each fault is found. Yields what is not as it should be."
    sound = small_site()
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(tmp)
        for file, content in sound.items(): write(root/file, content)
        for problem in problems(root, check): yield f'site.py: a sound page is faulted: {problem}'
        for file, old, new, expected in BROKEN:
            broken = replaced(sound[file], old, new)
            if broken == sound[file]: yield f'site.py: {old!r} is not in {file}; mend FAULTS'
            write(root/file, broken)
            found = problems(root, check)
            if not any(expected in problem for problem in found):
                yield f'site.py: {file} with {new!r} for {old!r} was not found ({expected!r}); found {found}'
            write(root/file, sound[file])
