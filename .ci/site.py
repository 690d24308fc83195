"""The pages of the site without Quarto: links, anchors, alt texts, symbols, tables, widths, sidebar, drawing.

    python .ci/site.py

nbdev makes the pages, as it does for Quarto. What Pandoc would make of a heading is computed here, as its
manual says. First the made-up pages of site_broken.py are checked: each has one fault, which has to be found.
Then the site is checked. A problem is one line: page, cell, what is wrong; what to do. How a page looks still
needs Quarto.
"""
import json
import re
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import mistune
import yaml
from library import copy_of_tree, modules, notebooks
from site_broken import BROKEN, self_test

SITE = 'https://biomass-nb.github.io/biomass_nb'
GITHUB = 'https://github.com/biomass-nb/biomass_nb'
IN_REPOSITORY = re.compile(rf'(?:{GITHUB}/(?:blob|tree|raw|edit)'
                           r'|https://raw\.githubusercontent\.com/biomass-nb/biomass_nb)/(\w+)/?(.*)')
CALLOUTS = ('note', 'tip', 'warning', 'important', 'caution')
# Functions whose names are ordinary words too: in backticks these may mean a column or an argument.
NO_SYMBOLS = {'answer', 'command', 'coverage', 'members', 'pack', 'panels', 'picture', 'progress', 'render',
              'repeated', 'resolve', 'short'}
WIDTH = 110        # characters of a line of code
CHARACTER = .602   # width of a character, of the size of its font: Menlo, SF Mono, DejaVu Sans Mono
PADDING = 14       # px, at the sides of a block of code
SCROLLBAR = 15     # px
UNDRAWN = 'Results and development'   # the section of the sidebar that is not in the drawing
MD = mistune.create_markdown(renderer=None, plugins=['table', 'strikethrough', 'math'])
FENCE = re.compile(r'^ {0,3}(`{3,}|~{3,})')


# --- Markdown

def walk(tokens):
    "All tokens of a parsed text, outer ones first."
    for o in tokens:
        yield o
        yield from walk(o.get('children', []))


@cache
def parsed(text):
    "All tokens of a Markdown text, without lines of colons; underscores as in .__init__ are no markup."
    text = re.sub(r'^\s*:::.*$', '', text, flags=re.M)
    return list(walk(MD(re.sub(r'\.__(\w+?)__', r'.\_\_\1\_\_', text))))


def plain(token):
    "The text of a token without its markup."
    space = ' ' if token['type'] in ('softbreak', 'linebreak') else ''
    return token.get('raw', '') + ''.join(plain(o) for o in token.get('children', [])) + space


def slug(text, github=False):
    "The identifier that Pandoc, or GitHub, gives a heading."
    if github: return re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-')
    text = re.sub(r'-{2,3}(?= )', '', text).lower()
    text = '-'.join(re.sub(r'[^\w\-. ]', '', text).split())
    return re.sub(r'^[^a-z\u0080-\uffff]+', '', text) or 'section'


@cache
def prose(text):
    "The text without fenced code, code spans and comments. Its lines keep their numbers."
    lines, fence = [], ''
    for line in re.sub(r'<!--.*?-->', lambda m: '\n'*m[0].count('\n'), text, flags=re.S).split('\n'):
        mark = FENCE.match(line)
        if fence: fence, line = '' if mark and mark[1].startswith(fence) else fence, ''
        elif mark: fence, line = mark[1], ''
        lines.append(re.sub(r'(`+)[^`].*?\1', 'CODE', line))
    return '\n'.join(lines)


def anchors(texts, github=False):
    "Identifiers in the texts of one page: those of headings and those written out."
    found = []
    for text in texts:
        for o in parsed(text):
            if o['type'] != 'heading': continue
            heading, written = re.fullmatch(r'(.*?)\s*(\{[^}]*\})?\s*', plain(o), re.S).groups()
            if own := re.search(r'#([\w.:-]+)', written or ''):
                found.append(own[1])
                continue
            name = slug(heading, github)
            same = sum(o == name or re.fullmatch(re.escape(name) + r'-\d+', o) is not None for o in found)
            found.append(f'{name}-{same}' if same else name)
        found += re.findall(r'\{[^}\n]*#([\w.:-]+)[^}\n]*\}', prose(text))
        found += re.findall(r'\b(?:id|name)="([^"]+)"', prose(text))
    return set(found)


def links(text):
    "(target, words, is it a picture) for each link and picture of a Markdown text."
    for o in parsed(text):
        if o['type'] in ('link', 'image'):
            yield o['attrs']['url'], ''.join(plain(c) for c in o['children']), o['type'] == 'image'
    for tag in re.findall(r'<(?:a|img)\b[^>]*>', prose(text)):
        attrs = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if 'href' in attrs: yield attrs['href'], '', False
        if 'src' in attrs: yield attrs['src'], attrs.get('alt', ''), True


def fenced(kind, text):
    "The content of the first fence of a kind, or None."
    found = re.search(rf'^```{re.escape(kind)}\n(.*?)^```$', text, re.M | re.S)
    return found and found[1]


# --- Pages

def joined(lines): return ''.join(lines)


@cache
def mapping(text):
    "The mapping that a YAML text is; empty if there is none."
    return yaml.safe_load(text) or {}


def read_yaml(path): return mapping(path.read_text() if path.is_file() else '')


class Page:
    "A page as nbdev leaves it for Quarto: front matter, Markdown by cell, Markdown outputs, code cells."
    def __init__(self, path, proc):
        self.path, self.name, self.problems = path, path.relative_to(proc).as_posix(), []
        self.is_notebook = path.suffix == '.ipynb'
        if self.is_notebook: self.read_notebook(json.loads(path.read_text())['cells'])
        else: self.read_qmd(path.read_text())
        address = self.front.get('output-file', PurePosixPath(self.name).with_suffix('.html').name)
        self.url = (PurePosixPath(self.name).parent/address).as_posix()
        self.anchors = anchors([text for _, text in self.texts + self.outputs])
        for c in self.code: self.anchors |= set(re.findall(r'^#\| *label: *(\S+)', joined(c['source']), re.M))

    def read_notebook(self, cells):
        "nbdev writes the front matter into the first cell that is no code."
        self.code = [c for c in cells if c['cell_type'] == 'code']
        self.texts = [(c.get('id', '?'), joined(c['source'])) for c in cells if c['cell_type'] != 'code']
        self.front = self.front_matter(self.texts[0][1]) if self.texts else {}
        if self.front: self.texts.pop(0)
        shown = [(c.get('id', '?'), o.get('data', {})) for c in self.code for o in c['outputs']]
        self.outputs = [(cell, joined(o['text/markdown'])) for cell, o in shown if 'text/markdown' in o]
        self.attached = {f'attachment:{name}' for c in cells for name in c.get('attachments', {})}

    def read_qmd(self, text):
        "A .qmd file is one text."
        self.front, self.code, self.outputs, self.attached = self.front_matter(text), [], [], set()
        self.texts = [('text', self.include(re.sub(r'\A---\n.*?\n---\n', '', text, flags=re.S)))]

    def front_matter(self, text):
        "The YAML between two lines of dashes at the start."
        found = re.match(r'---\n(.*?)\n---', text.strip(), re.S)
        try: return mapping(found[1] if found else '')
        except yaml.YAMLError as e:
            what = f'no YAML ({str(e).splitlines()[0]})'
            self.problems.append(('front matter', what, 'quote what has a colon'))
            return {}

    def include(self, text):
        "The text with its include shortcodes filled in. Their paths begin at the page."
        def read(m):
            if (file := self.path.parent/m[1]).is_file(): return file.read_text()
            todo = 'mend the path; it begins at _proc/'
            self.problems.append(('text', f'includes {m[1]}, which is not there', todo))
            return ''
        return re.sub(r'\{\{< include (\S+) >\}\}', read, text)


class Site:
    "All pages, and what the library exports."
    def __init__(self,
        proc,     # folder of the pages that nbdev made
        root,     # folder of the project
        syms,     # {module: {full name: (address, file)}}, as in _modidx.py
        tops,     # {module: names defined at its top}
        imports,  # {notebook: notebooks that it imports}; a notebook is 'features/embed', a path below nbs/
    ):
        self.proc, self.root, self.syms, self.tops, self.imports = Path(proc), Path(root), syms, tops, imports
        paths = sorted(p for p in self.proc.rglob('*') if p.suffix in ('.ipynb', '.qmd'))
        shown = [p for p in paths if not any(o[0] in '._' for o in p.relative_to(self.proc).parts)]
        self.pages = {p.name: p for p in (Page(path, self.proc) for path in shown)}
        self.by_url = {p.url: p for p in self.pages.values()}
        public_names = ((module, name) for module, found in syms.items() for name in found if is_public(name))
        self.names = {o for module, name in public_names for o in (name, name.removeprefix(f'{module}.'))}


def is_public(name): return not any(part.startswith('_') for part in name.split('.'))


# --- Where a link leads: each returns (what is wrong, what to do) or None

def repository_problem(site, branch, path):
    "Of a link into the repository on GitHub."
    if branch != 'main': return 'leads to another branch than main', 'write main'
    if not (site.root/path).exists(): return f'leads to {path}, which the repository has not', 'mend the path'


def file_problem(site, url, anchor, file):
    "Of a relative link in `file`, a path in the repository."
    there = PurePosixPath(file).parent/url if url else file
    if not (site.root/there).exists(): return 'leads to a file that the repository has not', 'mend the path'
    if not anchor or Path(there).suffix != '.md': return None
    headings = anchors([(site.root/there).read_text()], github=True)
    if anchor not in headings: return f'has no heading #{anchor}', 'mend the anchor'


def address(site, url, page):
    "The address below the site of a relative link on a page; or a problem."
    if not url: return page.url
    parts, url = [], url.split('?')[0]
    path = PurePosixPath(url[1:]) if url.startswith('/') else PurePosixPath(page.name).parent/url
    for part in path.parts:
        if part == '..' and not parts:
            return 'leads out of the site', f'write the address {GITHUB}/blob/main/…'
        parts = parts[:-1] if part == '..' else [*parts, part]
    to = '/'.join(parts)
    if not to.endswith(('.ipynb', '.qmd')): return to
    return site.pages[to].url if to in site.pages else ('leads to a page that is not there', 'mend the path')


def page_problem(site, to, anchor, is_page):
    "Of an address below the site. If `is_page`, no other file will do."
    if page := site.by_url.get(to):
        if not anchor or anchor in page.anchors: return None
        todo = 'a method needs its own show_doc' if '.' in anchor else 'a heading makes an anchor'
        return f'has no anchor #{anchor}', f'mend it, or document it there ({todo})'
    if is_page or to.endswith('.html'):
        real = re.sub(r'(^|/)\d+[a-z0-9]*_', r'\1', to)
        todo = f'the page is {real}; nbdev drops the number' if real in site.by_url else 'mend the path'
        return 'leads to a page that is not there', todo
    if not (site.proc/to).is_file():
        return 'leads to a file that is not there', 'mend the path, or put the file into nbs/'


def target_problem(site, target, page=None, file=None):
    "Of a link on a page of the site, or in a file of the repository."
    url, anchor = (unquote(part) for part in target.partition('#')[::2])
    if inside := IN_REPOSITORY.match(url): return repository_problem(site, *inside.groups())
    if on_site := url == SITE or url.startswith(f'{SITE}/'): to = url.removeprefix(SITE).strip('/')
    elif re.match(r'[a-z][a-z+.-]*:|//', url): return None   # another site: not asked, tests need no network
    elif file: return file_problem(site, url, anchor, file)
    else: to = address(site, url, page)
    return to if isinstance(to, tuple) else page_problem(site, to or 'index.html', anchor, on_site)


# --- Checks: each yields (page, cell, what, what to do)

def front_matter(site):
    "A page has a title, a description and an address of its own."
    marks = dict(title='`# Title`', description='`> one line`')
    for p in site.pages.values():
        for problem in p.problems: yield p.name, *problem
        for key, mark in marks.items():
            todo = f'open the notebook with {mark}' if p.is_notebook else f'write {key}: in the front matter'
            if not p.front.get(key): yield p.name, 'first', f'no {key}', todo
        if (other := site.by_url[p.url]) is not p:
            yield p.name, 'first', f'has the address {p.url}, as {other.name} has', 'rename one'


def openings(site):
    "The cell of the title holds nothing else: nbdev makes front matter of it and drops the rest."
    for name, p in site.pages.items():
        source = site.root/'nbs'/name
        if not p.is_notebook or not source.is_file(): continue
        texts = [(c['id'], joined(c['source'])) for c in json.loads(source.read_text())['cells']
                 if c['cell_type'] == 'markdown']
        for cell, text in texts:
            if not re.search(r'^#\s+\S', prose(text), re.M): continue
            if rest := re.sub(r'^(#\s+\S.*|>\s+\S.*)$', '', text, flags=re.M).strip():
                what = f'"{rest[:40]}…" is not on the site: it stands in the cell of the title'
                yield name, cell, what, 'give it a cell of its own'
            break


def entries(tree):
    "The pages that a list of Quarto's navigation names."
    if isinstance(tree, str): yield tree
    elif isinstance(tree, list):
        for o in tree: yield from entries(o)
    elif isinstance(tree, dict):
        yield from entries([tree.get(key, []) for key in ('href', 'file', 'contents', 'menu')])


def sidebar(site):
    "The sidebar has each page once and nothing else. The bar above and the line below lead to pages."
    website = lambda name: read_yaml(site.proc/name).get('website') or {}
    listed = list(entries((website('sidebar.yml').get('sidebar') or {}).get('contents')))
    for o in sorted(set(listed)):
        if listed.count(o) > 1: yield 'sidebar.yml', o, 'is there twice', 'take one away'
        if o not in site.pages: yield 'sidebar.yml', o, 'no such page', 'take it away, or add the page'
    for o in site.pages:
        if o not in listed: yield o, 'page', 'not in the sidebar', 'add it to nbs/sidebar.yml'
    for name in ('_quarto.yml', 'nbdev.yml'):
        bar, footer = (website(name).get(part) or {} for part in ('navbar', 'page-footer'))
        for o in entries([bar.get('left', []), bar.get('right', [])]):
            if not o.startswith('http') and o not in site.pages:
                yield name, o, 'no such page in the navbar', 'mend it'
        texts = [text for text in footer.values() if isinstance(text, str)]
        for target, words, _ in (link for text in texts for link in links(text)):
            if not re.match(r'/|\w+:', target):
                todo = f'write /{target}: every page has this line, in whatever folder'
                yield name, 'page-footer', f'[{words}]({target}) leads nowhere from a page in a folder', todo
            if wrong := target_problem(site, target, page=site.pages['index.ipynb']):
                yield name, 'page-footer', f'[{words}]({target}) {wrong[0]}', wrong[1]


def link_problems(site, text, **source):
    "(what, what to do) for each link and picture of a text."
    for target, words, is_picture in links(text):
        if is_picture and not words.strip():
            yield f'the picture {target} has no alt text', 'say in the brackets what one sees'
        if 'page' in source and target in source['page'].attached: continue
        if wrong := target_problem(site, target, **source):
            yield f'[{words[:40]}]({target}) {wrong[0]}', wrong[1]


def internal_links(site):
    "Links and pictures on pages lead somewhere, and pictures have alt texts."
    for p in site.pages.values():
        for cell, text in p.texts + p.outputs:
            for problem in link_problems(site, text, page=p): yield p.name, cell, *problem
            if nested := re.search(r'\[\[`[^`]+`\]\(', text):
                todo = 'drop the backticks within the brackets; nbdev makes links of symbols'
                yield p.name, cell, f'a link within a link: {nested[0]}', todo


def repository_links(site):
    "So do links in the repository's Markdown files, and addresses of the site in kernels and library."
    paths = [*site.root.glob('kaggle/**/*'), *site.root.glob('biomass_nb/**/*.py')]
    for p in sorted(p for p in paths if p.suffix in ('.ipynb', '.md', '.py') and p.name != '_modidx.py'):
        file = p.relative_to(site.root).as_posix()
        for target in re.findall(rf'(?:{SITE}|{GITHUB}/(?:blob|tree))[\w/.#-]*', p.read_text()):
            if wrong := target_problem(site, target.rstrip('.'), file=file):
                yield file, 'text', f'{target} {wrong[0]}', wrong[1]
    for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'):
        if not (site.root/name).is_file(): continue
        text = (site.root/name).read_text()
        for problem in link_problems(site, text, file=name): yield name, 'text', *problem


def symbols(site):
    "Every exported symbol is documented and has its name to itself."
    owners = {}
    for module, found in site.syms.items():
        for full, (where, _) in found.items():
            name, (url, _, anchor) = full.removeprefix(f'{module}.'), where.partition('#')
            if not is_public(name): continue
            if (owner := owners.setdefault(name, module)) != module:
                yield module, name, f'{owner} exports this name too, and links lead there', 'rename one'
            if name not in site.tops[module]: continue
            if url not in site.by_url:
                yield url, name, f'{full} has no page', 'its notebook is not part of the site'
            elif anchor not in site.by_url[url].anchors:
                todo = 'take `hide` off its cell, call show_doc, or begin its name with _'
                yield site.by_url[url].name, name, 'exported but not documented', todo


def mentions(site):
    "Every symbol in backticks is a link. (In .qmd pages, which nbdev copies as they are, the author links.)"
    todo = 'nbdev looks at lines with an indent under four spaces, outside of fences: take the indent away'
    for p in (p for p in site.pages.values() if p.is_notebook):
        for cell, text in p.texts:
            tokens = parsed(text)
            linked = {id(c) for o in tokens if o['type'] in ('link', 'image') for c in walk(o['children'])}
            for o in (o for o in tokens if o['type'] == 'codespan' and id(o) not in linked):
                name = o['raw'].removesuffix('()')
                if name in site.names - NO_SYMBOLS: yield p.name, cell, f'`{name}` is no link', todo


def callouts(site):
    "Callouts and other divs are of a known sort, are closed, and begin after an empty line."
    callout = re.compile(r'\{(#[\w-]+ )?\.callout-(' + '|'.join(CALLOUTS) + r')( [^}]*)?\}')
    for p in site.pages.values():
        stack = []
        for cell, text in p.texts:
            before = ''
            for line in prose(text).split('\n'):
                above, before, said = before.strip(), line, line.strip()
                if re.match(r'>\s*\[!\w+\]', line):
                    todo = 'write ::: {.callout-note} … :::'
                    yield p.name, cell, f'{said} is a callout on GitHub only', todo
                div = re.match(r' {0,3}(:{2,})\s*(.*)$', line)
                if not div: continue
                if div[1] == '::':
                    if div[2].startswith('{'):
                        yield p.name, cell, f'{said}: two colons make no callout', 'write three'
                elif div[2]:
                    stack.append((cell, said))
                    if 'callout' in div[2] and not callout.fullmatch(div[2]):
                        todo = f"write ::: {{.callout-note}}, or one of {', '.join(CALLOUTS[1:])}"
                        yield p.name, cell, f'{said} is no callout', todo
                    if above:
                        todo = 'leave an empty line before it'
                        yield p.name, cell, f'{said} follows a line of text', todo
                elif stack: stack.pop()
                else: yield p.name, cell, 'a ::: that closes nothing', 'take it away, or open it'
        for cell, said in stack: yield p.name, cell, f'{said} is never closed', 'close it with :::'


def figures(site):
    "Figures of visible cells have alt texts."
    for p, c in ((p, c) for p in site.pages.values() for c in p.code):
        lines = re.match(r'(?:\s*#\|.*\n?)*', joined(c['source']))[0]
        try: options = mapping('\n'.join(re.findall(r'#\| ?(.*)', lines)))
        except yaml.YAMLError:
            yield p.name, c['id'], 'the #| lines are no YAML', 'quote the text'
            continue
        if not isinstance(options, dict):
            yield p.name, c['id'], 'the #| lines are no YAML', 'write #| name: value'
            continue
        pictures = sum(any(k.startswith('image/') for k in o.get('data', {})) for o in c['outputs'])
        if not pictures or options.get('include') is False or options.get('output') is False: continue
        alt = options.get('fig-alt')
        if not alt:
            todo = '#| fig-alt: "one sentence that says what one sees"'
            yield p.name, c['id'], 'a figure without alt text', todo
        elif pictures > 1 and (not isinstance(alt, list) or len(alt) != pictures):
            yield p.name, c['id'], f'{pictures} figures, not as many alt texts', '#| fig-alt: ["…", "…"]'


def visible(cell):
    "The code that a reader of the page sees."
    source = joined(cell['source'])
    return '' if re.search(r'^#\| *(?:echo|include): *false', source, re.M) else source


def references(site):
    "What show_doc gives: classes as classes, no links in code, no empty types, every parameter told."
    for p, c in ((p, c) for p in site.pages.values() for c in p.code):
        shown = [joined(o.get('data', {}).get('text/markdown', '')) for o in c['outputs']]
        for text in shown if 'show_doc(' in joined(c['source']) else ():
            name = (re.search(r'^#+ (.*)', text, re.M) or ['', '?'])[1]
            code = fenced('python', text) or ''
            todo = 'settings.ini names biomass_nb.docs.Reference as renderer'
            if code.startswith('def '): yield p.name, name, 'is shown with def and without a table', todo
            if re.search(r'\]\(http', code): yield p.name, name, 'has raw links in its signature', todo
            if 'NoneType' in text: yield p.name, name, 'has the type NoneType', todo
            if re.match(r'class \w+(\(\w+\))?$', code.strip()): continue   # fields may speak
            rows = re.findall(r'^\| <code>(.*?)</code> .*?\| ([^|]*) ?\|$', text, re.M)
            for o in (o for o, meaning in rows if not meaning.strip() or '| meaning |' not in text):
                yield p.name, name, f'says nothing about {o}', 'give it a comment'


def columns(site):
    "A line of code fits the column, in a window of 1280 px. Widths are those of Quarto's floating sidebar."
    grid = ((read_yaml(site.proc/'_quarto.yml').get('format') or {}).get('html') or {}).get('grid') or {}
    number = lambda key, default: float(re.match(r'[\d.]+', str(grid.get(key, default)))[0])
    gutter = 17*number('gutter-width', 1.5)   # given in rem or em
    body = min(1280 - SCROLLBAR - number('sidebar-width', 250) - number('margin-width', 250) - 4*gutter,
               number('body-width', 800) - 2*gutter)
    css = (site.proc/'styles.css').read_text() if (site.proc/'styles.css').is_file() else ''
    size = re.search(r'^pre\b[^{]*\{[^}]*font-size: ([\d.]+)px', css, re.M)
    fits = int((body - PADDING)/(CHARACTER*float(size[1] if size else 14.9)))
    todo = 'mend grid in _quarto.yml, or the size of code in styles.css'
    if fits < WIDTH: yield '_quarto.yml', 'grid', f'{fits} characters of code fit, not {WIDTH}', todo
    for p, c in ((p, c) for p in site.pages.values() for c in p.code):
        if (longest := max(map(len, visible(c).split('\n')))) > WIDTH:
            yield p.name, c['id'], f'a line of {longest} characters is cut', f'break it at {WIDTH}'


def neighbours(site):
    "Each page leads to the one before and the one after it."
    if not (read_yaml(site.proc/'_quarto.yml').get('website') or {}).get('page-navigation'):
        yield '_quarto.yml', 'website', 'pages have no previous and next', 'write page-navigation: true'


def formats(site):
    "Drawings are made by the reader's browser, so html is the only format."
    if others := set(read_yaml(site.proc/'_quarto.yml').get('format') or {}) - {'html'}:
        what = f'{", ".join(others)}: there Quarto draws with a browser that it may not find'
        yield '_quarto.yml', 'format', what, 'leave html alone'


def below(imports, notebook):
    "Everything that a notebook imports, directly or not."
    found, waiting = set(), [notebook]
    while waiting:
        new = imports.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def sections(site):
    "{title: notebooks} of the sidebar."
    bar = (read_yaml(site.proc/'sidebar.yml').get('website') or {}).get('sidebar') or {}
    tree = bar.get('contents') or []
    found = {o['section']: entries(o['contents']) for o in tree if isinstance(o, dict) and 'section' in o}
    return {title: {o.rpartition('.')[0] for o in pages} for title, pages in found.items()}


def drawing(site):
    "The wings are drawn once, as the sidebar has them, and no arrow is against the imports."
    texts = (text for _, text in site.pages['index.ipynb'].texts)
    source = next(filter(None, (fenced('{mermaid}', text) for text in texts)), None)
    if not source:
        yield 'index.ipynb', 'page', 'no drawing', 'write a fence of {mermaid}'
        return
    if fenced('mermaid', (site.root/'README.md').read_text()) != source:
        yield 'README.md', 'drawing', 'not the drawing of nbs/index.ipynb', 'run make readme'

    listed, titles = sections(site), dict(re.findall(r'(\w+)\["([^"]*)"\]', source))
    for title in titles.values():
        if title in listed: continue
        yield 'index.ipynb', 'drawing', f'{title} is no section of the sidebar', 'mend it'
    boxes = {box: listed.get(title, set()) for box, title in titles.items()}
    for o in sorted(set(site.imports) - set().union(*boxes.values()) - listed.get(UNDRAWN, set())):
        yield 'index.ipynb', 'drawing', f'{o} is in no box', 'put it into a drawn section of the sidebar'

    declared = set(re.findall(r'(\w+)\(?\[', source))
    for line in (line for line in source.splitlines() if '-->' in line):
        ends = [re.match(r'\w*', end.strip())[0] for end in line.split('-->')]
        for a, b in zip(ends, ends[1:]):
            if {a, b} - declared: yield 'index.ipynb', 'drawing', f'{a} --> {b}: no such node', 'mend it'
            needed = {o for notebook in boxes.get(a, ()) for o in {notebook} | below(site.imports, notebook)}
            if against := sorted(boxes.get(b, set()) & needed):
                yield 'index.ipynb', 'drawing', f'{a} --> {b}, but {a} imports {against[0]}', 'turn the arrow'


CHECKS = (front_matter, openings, sidebar, internal_links, repository_links, symbols, mentions, callouts,
          figures, references, columns, neighbours, formats, drawing)


def check(*site):
    "All problems of a Site of these arguments, a line each."
    site = Site(*site)
    return [f'{page}, {cell}: {what}; {todo}' for f in CHECKS for page, cell, what, todo in f(site)]


# --- The site itself

# nbdev opens a shell of IPython for each page. When Python exits, each shell collects garbage. This takes
# longer than all pages together. So this process exits at once. It makes little garbage and collects none.
NBDEV = '''import gc, os
gc.disable()
from nbdev.serve import proc_nbs
proc_nbs(n_workers=0)
os._exit(0)'''


def exported(root):
    "What Site wants to know of the library in `root`."
    scope, library = {}, modules(root)
    exec((root/'biomass_nb'/'_modidx.py').read_text(), scope)
    notebook = lambda name: library[name].notebook
    imports = {m.notebook: {notebook(name) for name, _ in m.imports(library)} for m in library.values()}
    return scope['d']['syms'], {name: m.names() for name, m in library.items()}, imports


def home(root, source):
    "The notebook and the cell that hold some code."
    for path in notebooks(root):
        for c in json.loads((root/'nbs'/path).read_text())['cells']:
            if source.strip() in joined(c['source']): return f"{path}, cell {c['id']}"
    return f'{source[:40]!r}…'


def main():
    "Problems of the self-test, of nbdev's work, and of the pages."
    with tempfile.TemporaryDirectory() as tmp:
        copy = copy_of_tree(tmp)
        nbdev = subprocess.Popen([sys.executable, '-u', '-c', NBDEV], cwd=copy, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        yield from self_test(check)   # while nbdev works
        said = nbdev.communicate()[0]
        for cell in re.findall(r'imports and other code\. See FAQ\.\n---\n(.*?)\n---\n', said, re.S):
            what = 'mixes imports with other code, so nbdev runs it for the site'
            yield f'{home(copy, cell)}: {what}; give the imports a cell of their own'
        if nbdev.returncode:
            errors = re.findall(r'^\w*(?:Error|Exception)\b.*$', said, re.M)   # the cause comes first
            yield f"nbdev makes no pages: {'; '.join(errors) or said[-300:]!r}"
            return
        for path in notebooks(copy):
            if not (copy/'_proc'/path).exists(): yield f'{path}: no page was made of it'
        yield from check(copy/'_proc', copy, *exported(copy))


if __name__ == '__main__':
    start = time.time()
    problems = list(main())
    for problem in problems: print('FAILED', problem)
    print(f'{len(BROKEN)} broken pages were made up; {len(problems)} problems, {time.time() - start:.0f} s')
    sys.exit(len(problems) > 0)
