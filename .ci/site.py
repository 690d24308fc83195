"""The site without Quarto: the pages that nbdev makes, with every link, anchor, picture, callout and symbol on them.

    python .ci/site.py

First small broken pages are checked, each of which has to be found; then the site. One problem a line: page, cell, what, what to do.
Seeing the pages themselves still needs Quarto; what Pandoc makes of a heading's text is computed here as its manual says.
"""
import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import mistune
import yaml

ROOT = Path(__file__).resolve().parent.parent
SITE = 'https://biomass-nb.github.io/biomass_nb'
GITHUB = 'https://github.com/biomass-nb/biomass_nb'
CALLOUTS = ('note', 'tip', 'warning', 'important', 'caution')
NO_SYMBOLS = {'answer', 'command', 'coverage', 'members', 'pack', 'panels', 'picture', 'progress', 'render', 'repeated', 'resolve', 'short'}  # ordinary words, though functions too: in backticks they may mean a column or an argument
MD = mistune.create_markdown(renderer=None, plugins=['table', 'strikethrough', 'math'])
FENCE = re.compile(r'^ {0,3}(`{3,}|~{3,})')


# --- Markdown

def walk(tokens):
    "All tokens of a parsed text, outer ones first."
    for o in tokens:
        yield o
        yield from walk(o.get('children', []))


def plain(token):
    "The text of a token without its markup."
    return token.get('raw', '') + ''.join(plain(o) for o in token.get('children', [])) + (' ' if token['type'] in ('softbreak', 'linebreak') else '')


def slug(text, github=False):
    "The identifier that Pandoc, or GitHub, gives a heading."
    if github: return re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-')
    text = '-'.join(re.sub(r'[^\w\-. ]', '', re.sub(r'-{2,3}(?= )', '', text).lower()).split())
    return re.sub(r'^[^a-z\u0080-\uffff]+', '', text) or 'section'


def anchors(texts, github=False):
    "Identifiers of the headings, and those written out, in the texts of one page."
    found = []
    for text in texts:
        for o in walk(MD(re.sub(r'\.__(\w+?)__', r'.\_\_\1\_\_', text))):
            if o['type'] == 'heading':
                explicit = re.search(r'\{[^}]*#([\w.:-]+)[^}]*\}\s*$', plain(o))
                name = explicit[1] if explicit else slug(re.sub(r'\s*\{[^}]*\}\s*$', '', plain(o)), github)
                same = sum(o == name or re.fullmatch(re.escape(name) + r'-\d+', o) is not None for o in found)
                found.append(f'{name}-{same}' if same and not explicit else name)
        found += re.findall(r'\{[^}\n]*#([\w.:-]+)[^}\n]*\}', prose(text)) + re.findall(r'\b(?:id|name)="([^"]+)"', prose(text))
    return set(found)


def prose(text):
    "The text without fenced code, code spans and comments; lines are kept."
    lines, fence = [], ''
    for line in re.sub(r'<!--.*?-->', lambda m: '\n'*m[0].count('\n'), text, flags=re.S).split('\n'):
        m = FENCE.match(line)
        if fence: fence, line = ('' if m and m[1].startswith(fence) else fence), ''
        elif m: fence, line = m[1], ''
        lines.append(re.sub(r'(`+)[^`].*?\1', 'CODE', line))
    return '\n'.join(lines)


def links(text):
    "(target, words, is it a picture) of a Markdown text."
    for o in walk(MD(re.sub(r'^\s*:::.*$', '', text, flags=re.M))):
        if o['type'] in ('link', 'image'): yield o['attrs']['url'], ''.join(plain(c) for c in o['children']), o['type'] == 'image'
    for tag in re.findall(r'<(?:a|img)\b[^>]*>', prose(text)):
        attrs = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if 'href' in attrs: yield attrs['href'], '', False
        if 'src' in attrs: yield attrs['src'], attrs.get('alt', ''), True


# --- Pages

class Page:
    "A page as nbdev leaves it for Quarto: front matter, Markdown by cell, code cells with pictures."
    def __init__(self, path, proc):
        self.name, self.path, self.problems, self.code = path.relative_to(proc).as_posix(), path, [], []
        if path.suffix == '.ipynb':
            cells = json.loads(path.read_text())['cells']
            texts = [(c.get('id', '?'), ''.join(c['source'])) for c in cells if c['cell_type'] != 'code']
            self.front = self.front_matter(texts[0][1]) if texts else {}
            self.texts = texts[1:] if self.front else texts
            self.outputs = []
            self.code = [c for c in cells if c['cell_type'] == 'code']
            for c in self.code: self.outputs += [(c.get('id', '?'), ''.join(o['data']['text/markdown'])) for o in c['outputs'] if 'text/markdown' in o.get('data', {})]
        else:
            text = path.read_text()
            self.front = self.front_matter(text)
            self.texts, self.outputs = [('text', self.include(re.sub(r'\A---\n.*?\n---\n', '', text, flags=re.S)))], []
        self.url = (PurePosixPath(self.name).parent/self.front.get('output-file', PurePosixPath(self.name).with_suffix('.html').name)).as_posix()
        self.anchors = anchors([t for _, t in self.texts + self.outputs])
        self.anchors |= {m for c in self.code for m in re.findall(r'^#\| *label: *(\S+)', ''.join(c['source']), re.M)}

    def front_matter(self, text):
        m = re.match(r'---\n(.*?)\n---', text.strip(), re.S)
        try: return (yaml.safe_load(m[1]) if m else {}) or {}
        except yaml.YAMLError as e: self.problems.append(('front matter', f'no YAML ({str(e).splitlines()[0]})', 'quote what has a colon')); return {}

    def include(self, text):
        "Text with its include shortcodes filled in; their paths begin at the page."
        def read(m):
            if (file := self.path.parent/m[1]).is_file(): return file.read_text()
            self.problems.append(('text', f'includes {m[1]}, which is not there', 'mend the path; it begins at _proc/'))
            return ''
        return re.sub(r'\{\{< include (\S+) >\}\}', read, text)


class Site:
    "The processed pages in `proc`, the project in `root`, symbols as in _modidx.py, and for each library notebook those that it imports."
    def __init__(self, proc, root, syms, tops, imports):
        self.proc, self.root, self.syms, self.tops, self.imports = Path(proc), Path(root), syms, tops, imports
        self.pages = {}
        for p in sorted(self.proc.rglob('*')):
            if p.suffix in ('.ipynb', '.qmd') and not any(o.startswith(('.', '_')) for o in p.relative_to(self.proc).parts): self.pages[p.relative_to(self.proc).as_posix()] = Page(p, self.proc)
        self.by_url = {p.url: p for p in self.pages.values()}
        self.names = {k for d in syms.values() for m in d for k in (m, m.split('.', 2)[2]) if not any(o.startswith('_') for o in m.split('.'))}


def target_problem(site, target, page=None, github=None):
    "What is wrong with a link on a page of the site, or in the file `github` of the repository: (what, what to do), or None."
    url, _, anchor = target.partition('#')
    url, anchor = unquote(url), unquote(anchor)
    repository = re.match(rf'(?:{GITHUB}/(?:blob|tree|raw|edit)/(\w+)|https://raw\.githubusercontent\.com/biomass-nb/biomass_nb/(\w+))/?(.*)', url)
    if repository:
        if (repository[1] or repository[2]) != 'main': return 'leads to another branch than main', 'write main'
        if not (site.root/repository[3]).exists(): return f'leads to {repository[3]}, which the repository has not', 'mend the path'
        return None
    if url == SITE or url.startswith(SITE + '/'): to = url.removeprefix(SITE).strip('/')
    elif re.match(r'[a-z][a-z+.-]*:|//', url): return None
    elif github:
        there = github if not url else (PurePosixPath(github).parent/url)
        if not (site.root/there).exists(): return 'leads to a file that the repository has not', 'mend the path'
        if anchor and Path(there).suffix == '.md' and anchor not in anchors([(site.root/there).read_text()], github=True): return f'has no heading #{anchor}', 'mend the anchor'
        return None
    elif not url: to = page.url
    else:
        parts = []
        for o in (PurePosixPath(page.name).parent/url.split('?')[0]).parts:
            if o == '..' and not parts: return 'leads out of the site', f'write the address {GITHUB}/blob/main/…'
            parts = parts[:-1] if o == '..' else parts + [o]
        to = '/'.join(parts)
        if to.endswith(('.ipynb', '.qmd')):
            if to not in site.pages: return 'leads to a page that is not there', 'mend the path'
            to = site.pages[to].url
    to = to or 'index.html'
    if to in site.by_url:
        if anchor and anchor not in site.by_url[to].anchors: return f'has no anchor #{anchor}', f"mend it, or document it there ({'a method needs its own show_doc' if '.' in anchor else 'a heading makes an anchor'})"
        return None
    if to.endswith('.html') or url.startswith(SITE):
        real = re.sub(r'(^|/)\d+[a-z0-9]*_', r'\1', to)
        return 'leads to a page that is not there', f'the page is {real}; nbdev drops the number' if real in site.by_url else 'mend the path'
    if not (site.proc/to).is_file(): return 'leads to a file that is not there', 'mend the path, or put the file into nbs/'


# --- Checks: each yields (page, cell, what, what to do)

def front_matter(site):
    "Front matter: title and description, one address for one page."
    for p in site.pages.values():
        for o in p.problems: yield p.name, *o
        for key, mark in (('title', '`# Title`'), ('description', '`> one line`')):
            if not p.front.get(key): yield p.name, 'first', f'no {key}', f'open the notebook with {mark}' if p.path.suffix == '.ipynb' else f'write {key}: in the front matter'
        if site.by_url[p.url] is not p: yield p.name, 'first', f'has the address {p.url}, as {site.by_url[p.url].name} has', 'rename one'


def openings(site):
    "nbdev makes front matter of the first cell and drops the rest of it."
    for name, p in site.pages.items():
        source = site.root/'nbs'/name
        if p.path.suffix != '.ipynb' or not source.is_file(): continue
        for c in json.loads(source.read_text())['cells']:
            text = ''.join(c['source'])
            if c['cell_type'] != 'markdown' or not re.search(r'^#\s+\S', prose(text), re.M): continue
            rest = re.sub(r'^(#\s+\S.*|>\s+\S.*)$', '', text, flags=re.M).strip()
            if rest: yield name, c['id'], f'"{rest[:40]}…" is not on the site: it stands in the cell of the title', 'give it a cell of its own'
            break


def sidebar(site):
    "The sidebar has every page once and nothing else; the bar above leads to pages."
    def entries(o):
        if isinstance(o, str): yield o
        elif isinstance(o, list):
            for x in o: yield from entries(x)
        elif isinstance(o, dict): yield from entries([o.get(k, []) for k in ('href', 'file', 'contents', 'menu')])
    read = lambda name: (yaml.safe_load((site.proc/name).read_text()) or {}).get('website') or {} if (site.proc/name).is_file() else {}
    listed = list(entries((read('sidebar.yml').get('sidebar') or {}).get('contents')))
    for o in sorted(set(listed)):
        if listed.count(o) > 1: yield 'sidebar.yml', o, 'is there twice', 'take one away'
        if o not in site.pages: yield 'sidebar.yml', o, 'no such page', 'take it away, or add the page'
    for o in site.pages:
        if o not in listed: yield o, 'page', 'not in the sidebar', 'add it to nbs/sidebar.yml'
    for name in ('_quarto.yml', 'nbdev.yml'):
        bar = read(name).get('navbar') or {}
        for o in entries([bar.get('left', []), bar.get('right', [])]):
            if not o.startswith('http') and o not in site.pages: yield name, o, 'no such page in the navbar', 'mend it'
        for part in (read(name).get('page-footer') or {}).values():
            for target, words, _ in links(part) if isinstance(part, str) else ():
                if wrong := target_problem(site, target, page=site.pages['index.ipynb']): yield name, 'page-footer', f'[{words}]({target}) {wrong[0]}', wrong[1]


def internal_links(site):
    "Links and pictures lead somewhere; pictures have alt texts."
    for p in site.pages.values():
        files = {f'attachment:{k}' for c in json.loads(p.path.read_text())['cells'] for k in c.get('attachments', {})} if p.path.suffix == '.ipynb' else set()
        for cell, text in p.texts + p.outputs:
            for target, words, picture in links(text):
                if picture and not words.strip(): yield p.name, cell, f'the picture {target} has no alt text', 'say in the brackets what one sees'
                if target in files: continue
                if wrong := target_problem(site, target, page=p): yield p.name, cell, f'[{words[:40]}]({target}) {wrong[0]}', wrong[1]
            if m := re.search(r'\[\[`[^`]+`\]\(', text): yield p.name, cell, f'a link within a link: {m[0]}', 'drop the backticks within the brackets; nbdev makes links of symbols'


def repository_links(site):
    "Links in README.md and CONTRIBUTING.md, as GitHub shows them; addresses of the site in kernels and library."
    for p in sorted([*site.root.glob('kaggle/**/*'), *site.root.glob('biomass_nb/*.py')]):
        if p.suffix not in ('.ipynb', '.md', '.py') or p.name == '_modidx.py': continue
        for target in re.findall(rf'(?:{SITE}|{GITHUB}/(?:blob|tree))[\w/.#-]*', p.read_text()):
            if wrong := target_problem(site, target.rstrip('.'), github=p.relative_to(site.root).as_posix()): yield p.name, 'text', f'{target} {wrong[0]}', wrong[1]
    for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'):
        if not (site.root/name).is_file(): continue
        for target, words, picture in links((site.root/name).read_text()):
            if picture and not words.strip(): yield name, 'text', f'the picture {target} has no alt text', 'say in the brackets what one sees'
            if wrong := target_problem(site, target, github=name): yield name, 'text', f'[{words[:40]}]({target}) {wrong[0]}', wrong[1]


def symbols(site):
    "Every exported symbol is documented and has its name to itself; every mention of one in prose is a link."
    owners = {}
    for module, found in site.syms.items():
        for name in (o.removeprefix(f'{module}.') for o in found):
            if not any(o.startswith('_') for o in name.split('.')) and owners.setdefault(name, module) != module: yield module, name, f'{owners[name]} exports this name too, and links lead there', 'rename one'
    for module, found in site.syms.items():
        for full, (where, _) in found.items():
            name, (url, _, anchor) = full.removeprefix(f'{module}.'), where.partition('#')
            if name not in site.tops[module] or any(o.startswith('_') for o in name.split('.')): continue
            if url not in site.by_url: yield url, name, f'{full} has no page', 'its notebook is not part of the site'
            elif anchor not in site.by_url[url].anchors: yield site.by_url[url].name, name, 'exported but not documented', 'take `hide` off its cell, call show_doc, or begin its name with _'
    for p in site.pages.values():
        if p.path.suffix != '.ipynb': continue  # nbdev copies .qmd as it is; there a mention is a link if its author makes one
        for cell, text in p.texts:
            tokens = MD(text)
            linked = {id(c) for o in walk(tokens) if o['type'] in ('link', 'image') for c in walk(o['children'])}
            for o in walk(tokens):
                name = o.get('raw', '').removesuffix('()')
                if o['type'] == 'codespan' and id(o) not in linked and name in site.names and name not in NO_SYMBOLS:
                    yield p.name, cell, f'`{name}` is no link', 'nbdev looks at lines that begin with less than four spaces and stand in no fence: take the indent away'


def callouts(site):
    "Callouts and other divs are of a known sort, closed, and begin after an empty line."
    for p in site.pages.values():
        stack = []
        for cell, text in p.texts:
            lines = prose(text).split('\n')
            for i, line in enumerate(lines):
                if re.match(r'>\s*\[!\w+\]', line): yield p.name, cell, f'{line.strip()} is a callout on GitHub only', 'write ::: {.callout-note} … :::'
                m = re.match(r' {0,3}(:{2,})\s*(.*)$', line)
                if not m or (len(m[1]) == 2 and not m[2].startswith('{')): continue
                if len(m[1]) == 2: yield p.name, cell, f'{line.strip()}: two colons make no callout', 'write three'
                elif m[2]:
                    stack.append((cell, line.strip()))
                    if 'callout' in m[2] and not re.fullmatch(r'\{(#[\w-]+ )?\.callout-(' + '|'.join(CALLOUTS) + r')( [^}]*)?\}', m[2]): yield p.name, cell, f'{line.strip()} is no callout', f"write ::: {{.callout-note}}, or one of {', '.join(CALLOUTS[1:])}"
                    if i and lines[i-1].strip(): yield p.name, cell, f'{line.strip()} follows a line of text', 'leave an empty line before it'
                elif stack: stack.pop()
                else: yield p.name, cell, 'a ::: that closes nothing', 'take it away, or open it'
        for cell, line in stack: yield p.name, cell, f'{line} is never closed', 'close it with :::'


def figures(site):
    "Figures of visible cells have alt texts."
    for p in site.pages.values():
        for c in p.code:
            pictures = sum(any(k.startswith('image/') for k in o.get('data', {})) for o in c['outputs'])
            lines = re.match(r'(?:\s*#\|.*\n?)*', ''.join(c['source']))[0]
            try: options = yaml.safe_load('\n'.join(re.findall(r'#\| ?(.*)', lines))) or {}
            except yaml.YAMLError: yield p.name, c['id'], 'the #| lines are no YAML', 'quote the text'; continue
            if not isinstance(options, dict): yield p.name, c['id'], 'the #| lines are no YAML', 'write #| name: value'; continue
            if not pictures or options.get('include') is False or options.get('output') is False: continue
            alt = options.get('fig-alt')
            if not alt: yield p.name, c['id'], 'a figure without alt text', '#| fig-alt: "one sentence that says what one sees"'
            elif pictures > 1 and (not isinstance(alt, list) or len(alt) != pictures): yield p.name, c['id'], f'{pictures} figures, not as many alt texts', '#| fig-alt: ["…", "…"]'


def drawing(site):
    "One drawing in four places, of boxes with a title and notebooks below it; every library notebook in it, and no arrow against the imports."
    fence = lambda kind, text: m[1] if (m := re.search(rf'^```{re.escape(kind)}\n(.*?)^```$', text, re.M | re.S)) else None
    read = lambda name: (site.root/name).read_text() if (site.root/name).is_file() else ''
    source = next((f for _, t in site.pages['index.ipynb'].texts if (f := fence('{mermaid}', t))), None)
    if not source: yield 'index.ipynb', 'page', 'no drawing', 'write a fence of {mermaid}'; return
    for name, kind in (('README.md', 'mermaid'), ('CONTRIBUTING.md', 'mermaid'), ('nbs/contributing.qmd', '{mermaid}')):
        if fence(kind, read(name)) != source: yield name, 'drawing', 'not the drawing of nbs/index.ipynb', 'run make readme'
    formats = set((yaml.safe_load((site.proc/'_quarto.yml').read_text()) or {}).get('format') or {}) - {'html'}
    if formats: yield '_quarto.yml', 'format', f'{", ".join(formats)}: there Quarto draws with a browser that it may not find', 'leave html alone'
    nodes = {k: set(re.findall(r'\w+', names)) for k, names in re.findall(r'(\w+)\["[^"]*?<br/>([^"]*)"', source)}
    drawn, declared = set().union(*nodes.values()), set(re.findall(r'(\w+)\(?\[', source))
    for o in sorted(set(site.imports) - drawn): yield 'index.ipynb', 'drawing', f'{o} is not in it', 'draw it in nbs/index.ipynb and run make readme'
    for o in sorted(drawn - {Path(p).stem for p in site.pages}): yield 'index.ipynb', 'drawing', f'{o} is no notebook', 'take it out'
    reach = lambda o, seen: seen if o in seen else seen | {o} | {x for i in site.imports.get(o, ()) for x in reach(i, seen | {o})}
    for line in source.splitlines():
        ends = [re.match(r'\w*', o.strip())[0] for o in line.split('-->')] if '-->' in line else []
        for a, b in zip(ends, ends[1:]):
            if {a, b} - declared: yield 'index.ipynb', 'drawing', f'{a} --> {b}: no such node', 'mend it'
            elif against := sorted(nodes.get(b, set()) & {x for o in nodes.get(a, ()) for x in reach(o, frozenset())}): yield 'index.ipynb', 'drawing', f'{a} --> {b}, but {a} imports {against[0]}', 'turn the arrow'


CHECKS = (front_matter, openings, sidebar, internal_links, repository_links, symbols, callouts, figures, drawing)


def check(site):
    "All problems, a line each."
    return [f'{page}, {cell}: {what}; {todo}' for f in CHECKS for page, cell, what, todo in f(site)]


# --- The proof: a small sound site, and what is found when one thing in it is broken

def small_site():
    "A sound site of two notebooks and a .qmd: cells by page, and the other files by path."
    cell = lambda kind, source: dict(cell_type=kind, id='made-up', source=source, metadata={}, **({'outputs': []} if kind == 'code' else {}))
    drawn_flow = 'flowchart TD\n  a["tables<br/>00_data"]\n  b["home<br/>index"]\n  a --> b\n'
    front = '---\ntitle: {}\ndescription: d\noutput-file: {}.html\n---'
    shown = cell('code', '#| echo: false\nshow_doc(grams)')
    shown['outputs'] = [dict(output_type='display_data', data={'text/markdown': f'---\n\n[source]({GITHUB}/blob/main/lib/data.py#L1)\n\n### grams\n\n```python\ndef grams()\n```'})]
    drawn = cell('code', '#| fig-alt: "A line: it rises."\nplot()')
    drawn['outputs'] = [dict(output_type='display_data', data={'image/png': 'x'}), dict(output_type='display_data', data={'text/plain': 'x'})]
    text = f"""## What's new, in 2. `code` here

See [`grams`]({SITE}/data.html#grams), [the photos](#whats-new-in-2.-code-here), [home](index.ipynb), [again](index.html#chosen), [text](about.qmd),
[a file]({GITHUB}/blob/main/README.md) and ![a hill](hill.png). `grams of` and

```python
`grams` ::: [x](y.ipynb)
```

::: {{.callout-note}}
A note.
:::
"""
    pages = {'index.ipynb': [cell('raw', front.format('home', 'index')), cell('markdown', '## Chosen {#chosen}\n\n```{mermaid}\n' + drawn_flow + '```')],
             '00_data.ipynb': [cell('raw', front.format('data', 'data')), cell('markdown', text), shown, drawn]}
    files = {'proc/about.qmd': '---\ntitle: t\ndescription: d\n---\n\n{{< include ../CONTRIBUTING.md >}}\n', 'CONTRIBUTING.md': f'# Help\n\n[below](#below) [site]({SITE}/index.html#chosen)\n\n## Below\n\n```mermaid\n{drawn_flow}```\n',
             'nbs/contributing.qmd': f'```{{mermaid}}\n{drawn_flow}```\n',
             'README.md': f'# R\n\n[data]({SITE}/data.html#grams) [help](CONTRIBUTING.md#below)\n\n```mermaid\n{drawn_flow}```\n', 'lib/data.py': '', 'proc/hill.png': '',
             'proc/sidebar.yml': 'website: {sidebar: {contents: [index.ipynb, {section: S, contents: [00_data.ipynb, about.qmd]}]}}',
             'proc/_quarto.yml': '{format: {html: {toc: true}}, website: {navbar: {right: [{href: about.qmd, text: about}, {href: "https://example.org", text: x}]}, page-footer: {left: "[a](about.qmd)"}}}',
             'syms.json': json.dumps({'lib.data': {'lib.data.grams': ('data.html#grams', '')}, 'lib.home': {'lib.home.chosen': ('index.html#chosen', '')}}),
             'kaggle/k/k.ipynb': f'see {SITE}/data.html.',
             'nbs/index.ipynb': json.dumps(dict(cells=[cell('markdown', '# home\n\n> d')])), 'nbs/00_data.ipynb': json.dumps(dict(cells=[cell('markdown', '# data\n\n> d')]))}
    return pages, files


BROKEN = [  # file, what is replaced, by what, what has to be found
    ('00_data.ipynb', 'description: d\n', '', 'no description'), ('00_data.ipynb', 'title: data\n', '', 'no title'), ('proc/about.qmd', 'title: t\n', '', 'no title'),
    ('00_data.ipynb', 'title: data', 'title: a: b', 'no YAML'), ('00_data.ipynb', 'output-file: data', 'output-file: index', 'has the address index.html'),
    ('nbs/00_data.ipynb', '> d', '> d\\n\\nAn opening.', '"An opening.…" is not on the site'),
    ('proc/sidebar.yml', 'about.qmd', 'other.qmd', 'no such page'), ('proc/sidebar.yml', ', about.qmd', '', 'not in the sidebar'), ('proc/sidebar.yml', 'about.qmd', 'about.qmd, index.ipynb', 'is there twice'),
    ('proc/_quarto.yml', 'about.qmd', 'gone.qmd', 'no such page in the navbar'),
    ('00_data.ipynb', '(index.ipynb)', '(gone.ipynb)', 'leads to a page that is not there'), ('00_data.ipynb', '(about.qmd)', '(gone.qmd)', 'leads to a page that is not there'),
    ('00_data.ipynb', '(index.html#chosen)', '(00_data.html)', 'the page is data.html; nbdev drops the number'), ('00_data.ipynb', '#chosen', '#other', 'has no anchor #other'),
    ('00_data.ipynb', '(#whats-new-in-2.-code-here)', '(#whats-new)', 'has no anchor #whats-new'), ('00_data.ipynb', 'data.html#grams', '00_data.html#grams', 'the page is data.html'),
    ('00_data.ipynb', 'data.html#grams', 'data.html#grams.add', 'a method needs its own show_doc'), ('00_data.ipynb', 'main/README', 'main/READMORE', 'which the repository has not'),
    ('00_data.ipynb', 'main/README', 'dev/README', 'another branch than main'), ('00_data.ipynb', '(index.ipynb)', '(../README.md)', 'leads out of the site'),
    ('00_data.ipynb', 'hill.png', 'hole.png', 'leads to a file that is not there'), ('00_data.ipynb', '![a hill]', '![]', 'has no alt text'), ('00_data.ipynb', '![a hill](hill.png)', '<img src="hill.png">', 'has no alt text'),
    ('00_data.ipynb', f'[`grams`]({SITE}/data.html#grams)', f'[[`grams`]({SITE}/data.html#grams)](index.ipynb)', 'a link within a link'),
    ('00_data.ipynb', f'[`grams`]({SITE}/data.html#grams)', '`grams()`', '`grams` is no link'), ('00_data.ipynb', '### grams', '### gram', 'exported but not documented'),
    ('00_data.ipynb', '\nA note.\n:::', '\nA note.\n', 'is never closed'), ('00_data.ipynb', '::: {.callout-note}', '', 'a ::: that closes nothing'), ('00_data.ipynb', '.callout-note', '.callout-notes', 'is no callout'),
    ('00_data.ipynb', '{.callout-note}', '{callout-note}', 'is no callout'), ('00_data.ipynb', '\n\n::: {', '\nText\n::: {', 'follows a line of text'), ('00_data.ipynb', '::: {.callout-note}\nA note.\n:::', '> [!NOTE]\n> A note.', 'on GitHub only'),
    ('00_data.ipynb', '::: {.callout-note}\nA note.\n:::', ':: {.callout-note}\nA note.\n', 'two colons'),
    ('00_data.ipynb', '#| fig-alt: "A line: it rises."\n', '', 'a figure without alt text'), ('00_data.ipynb', '"A line: it rises."', 'A line: it rises.', 'no YAML'), ('00_data.ipynb', '"A line: it rises."', '""', 'a figure without alt text'),
    ('proc/_quarto.yml', 'toc: true}', 'toc: true}, commonmark: default', 'draws with a browser'), ('proc/_quarto.yml', '[a](about.qmd)', '[a](gone.qmd)', 'leads to a page that is not there'), ('kaggle/k/k.ipynb', '/data.html', '/00_data.html', 'the page is data.html'),
    ('00_data.ipynb', 'text/plain', 'image/jpeg', '2 figures, not as many alt texts'), ('syms.json', 'lib.home.chosen', 'lib.home.grams', 'lib.data exports this name too'), ('syms.json', 'index.html#', 'gone.html#', 'lib.home.chosen has no page'),
    ('README.md', '[data](', '![](', 'has no alt text'), ('00_data.ipynb', '#| fig-alt: "A line: it rises."', '#| echo', 'write #| name: value'),
    ('README.md', 'data.html', '00_data.html', 'the page is data.html'), ('README.md', 'CONTRIBUTING.md#below', 'CONTRIBUTING.md#above', 'has no heading #above'), ('README.md', 'CONTRIBUTING.md', 'HELP.md', 'leads to a file that the repository has not'),
    ('index.ipynb', 'a --> b', 'b --> a', 'b imports 00_data'), ('index.ipynb', 'a --> b', 'a --> c', 'no such node'), ('index.ipynb', '<br/>00_data', '<br/>index', '00_data is not in it'),
    ('index.ipynb', '<br/>index', '<br/>other', 'other is no notebook'), ('index.ipynb', '```{mermaid}', '```', 'no drawing'), ('CONTRIBUTING.md', 'tables', 'photos', 'not the drawing'),
    ('README.md', 'tables', 'photos', 'not the drawing'), ('nbs/contributing.qmd', 'tables', 'photos', 'not the drawing'),
    ('CONTRIBUTING.md', '#below', '#above', 'has no heading #above'), ('CONTRIBUTING.md', '(#below)', '(README.md)', 'leads to a file that is not there'), ('proc/about.qmd', '../CONTRIBUTING.md', '../HELP.md', 'which is not there'),
]


def self_test():
    "A sound site has no problem, and each broken thing is found. Yields what is not as it should be."
    for file, old, new, expected in [(None, None, None, None), *BROKEN]:
        with tempfile.TemporaryDirectory() as tmp:
            tmp = Path(tmp)
            pages, files = small_site()
            files |= {f'proc/{k}': json.dumps(dict(cells=v), ensure_ascii=False) for k, v in pages.items()}
            if file in pages: file, old, new = f'proc/{file}', json.dumps(old, ensure_ascii=False)[1:-1], json.dumps(new, ensure_ascii=False)[1:-1]
            changed = file and old in files[file]
            if changed: files[file] = files[file].replace(old, new)
            for name, text in files.items():
                (tmp/name).parent.mkdir(exist_ok=True, parents=True)
                (tmp/name).write_text(text)
            syms = json.loads(files['syms.json'])
            found = check(Site(tmp/'proc', tmp, syms, {m: {o.rpartition('.')[2] for o in d} for m, d in syms.items()}, {'00_data': set(), 'index': {'00_data'}}))
        if expected is None:
            for o in found: yield f'site.py: a sound page is faulted: {o}'
        elif not changed: yield f'site.py: {old!r} is not in {file}; mend BROKEN'
        elif not any(expected in o for o in found): yield f'site.py: {file} with {new!r} for {old!r} was not found ({expected!r}); found {found}'


# --- The site itself

def exported(root):
    "Symbols by module as _modidx.py has them, the names at the top of each module, patches among them, and which notebook imports which."
    from nbdev.doclinks import patch_name
    scope = {}
    exec((root/'biomass_nb'/'_modidx.py').read_text(), scope)
    syms = scope['d']['syms']
    defs = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tops, notebooks, imports = {}, {}, {}
    for m in syms:
        code = (root/f"{m.replace('.', '/')}.py").read_text()
        notebooks[m.rpartition('.')[2]] = Path(re.search(r'File to edit: (\S+)\.ipynb', code)[1]).name
        names = [patch_name(o) for o in ast.parse(code).body if isinstance(o, defs)]
        tops[m] = {n for o in names for n in ([o] if isinstance(o, str) else o)}
        imports[m.rpartition('.')[2]] = set(re.findall(r'^\s*from (?:\.|biomass_nb\.)(\w+) import', code, re.M))
    return syms, tops, {notebooks[k]: {notebooks[o] for o in v} for k, v in imports.items()}


def main():
    "Problems of the self-test, of processing, and of the pages."
    with tempfile.TemporaryDirectory() as tmp:
        ignore = shutil.ignore_patterns('.*', '_proc', '_docs', 'dist', 'build', 'demo', '__pycache__')
        copy = Path(shutil.copytree(ROOT, Path(tmp)/ROOT.name, symlinks=True, ignore=ignore))
        nbdev = subprocess.Popen([sys.executable, '-c', 'from nbdev.serve import proc_nbs; proc_nbs(n_workers=0)'], cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        yield from self_test()  # while nbdev works
        said = nbdev.communicate()[0]
        for o in re.findall(r'imports and other code\. See FAQ\.\n---\n(.*?)\n---\n', said, re.S): yield f'a cell mixes imports with other code, which nbdev runs for that; give the imports a cell of their own: {o[:200]!r}'
        if nbdev.returncode: yield f'nbdev makes no pages: …{said.strip()[-500:]!r}'; return
        for p in (copy/'nbs').rglob('*'):
            if p.suffix in ('.ipynb', '.qmd') and not (copy/'_proc'/p.relative_to(copy/'nbs')).exists(): yield f'{p.name}: no page was made of it'
        yield from check(Site(copy/'_proc', copy, *exported(copy)))


if __name__ == '__main__':
    start = time.time()
    problems = list(main())
    for o in problems: print('FAILED', o)
    print(f'{len(BROKEN)} broken pages were made up; {len(problems)} problems, {time.time() - start:.0f} s')
    sys.exit(len(problems) > 0)
