"""Anything at all is given to the commands: tables, paths, photos and run folders that nobody thought of.

    python .ci/fuzz.py                         # 200 examples, the same each time
    python .ci/fuzz.py 2000                    # other ones each time, as every night

A command ends with exit code 0 and finite grams, or with exit code 1 and one line that says what is wrong. It
never ends with a traceback, and never changes its input. Hypothesis makes the examples and looks for the
simplest one that fails. The commands run in this process, on a folder that is made anew for each example.
"""
import io
import json
import os
import re
import shutil
import sys
import tempfile
import unicodedata
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

os.environ |= dict(OMP_NUM_THREADS='1', TQDM_DISABLE='1', NO_ALBUMENTATIONS_UPDATE='1')

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from biomass_nb import cli
from biomass_nb.data import TARGETS, check_grams

EXAMPLES = 200
RUNS = 'net', 'feat'
KEPT = 'cache/halves-v2-32', 'cache/halves-v2-16', 'cache/answers-v3', 'cache/features-v4'
JSONS = 'config.json', 'trained_on.json', 'summary.json'
TABLES = ('data/test.csv', 'data/train.csv', 'data/sample_submission.csv', 'net/folds.csv', 'feat/folds.csv',
          'net/oof_flip3*.csv', 'net/oof_none*.csv', 'feat/oof_none*.csv')


# --- What may stand in a table, in a setting, in a name

def forms(name): return [unicodedata.normalize(form, name) for form in ('NFC', 'NFD')]


NAMES = ['', '.', ' ', 'x', 'a b', 'a\\b.jpg', 'test\\x.jpg', *forms('Föhré'), '서울.jpg', 'x'*240, 'x'*300,
         'ö'*130, 'z/'*2500, 'a\0b', '=1+1', '-rf', '%s', '{}', '{0}', "'", '"', ';', '*', '~', 'a\nb',
         '\u202e', 'grams.xlsx', 'x.csv']
PATHS = [*NAMES, '..', '../../etc/passwd', '/etc/passwd', '/dev/null', 'test', 'train.csv', 'C:\\x.jpg']
CELLS = [*PATHS, 'NaN', 'inf', '-1', '0', '1e999', '1,5', '9'*400, '٣', 'True', '2015/9/4', '0000/0/0',
         'WA', 'Dry_Green_g', 'ID1__Dry_Green_g', '__Dry_Green_g']
VALUES = [None, True, -1, 0, 1, 7, 10**9, 10**400, .5, 1e308, float('nan'), float('inf'), [], {}, ['x'],
          [1, 2, 3], {'a': 1}, 'random', 'test_vit.none', 'halves', *PATHS]
names, paths, cells = (st.one_of(st.sampled_from(o), st.text(max_size=8)) for o in (NAMES, PATHS, CELLS))
# Nothing is written above the folder of the example
outs = names.filter(lambda o: '..' not in o)
spots = st.integers(0, 10**6)


# --- Harm that is done to the folder of an example

def edit_table(place, column, row, value):
    "Change a cell, or a whole column."
    path, df = read(place)
    column = df.columns[column % len(df.columns)]
    df.loc[slice(None) if row is None else row % len(df), column] = value
    write(path, df.to_csv(index=False))


def save_table(place, how, separator):
    "Save a table as other programs would."
    path, df = read(place)
    path.write_bytes(df.to_csv(index=False, sep=separator).encode(how, 'replace'))


def lose_column(place, column):
    path, df = read(place)
    write(path, df.drop(columns=df.columns[column % len(df.columns)]).to_csv(index=False))


def repeat_rows(place, start, n):
    path, df = read(place)
    write(path, pd.concat([df, df[start % len(df):][:n]]).to_csv(index=False))


def keep_rows(place, start, n):
    path, df = read(place)
    write(path, df[start % len(df):][:n].to_csv(index=False))


def read(place):
    "The path of a table, and its cells as texts."
    path = next(Path().glob(place))
    return path, pd.read_csv(path, dtype=str, keep_default_na=False)


def write(path, text): Path(path).write_text(text, encoding='utf-8', errors='surrogatepass')


def edit_weights(place, i, value, shape, header):
    "Put another tensor, or another header, into a file of weights."
    path = nth_of(place, i)
    with safe_open(path, 'np') as f: said = f.metadata()
    tensors = load_file(path)
    if shape is not None: tensors[sorted(tensors)[i % len(tensors)]] = np.full(shape, value, np.float32)
    save_file(tensors, path, {**(said or {}), **header})


def rename_photo(folder, i, name, in_table):
    "Give a photo another name, and the table another one, or the same."
    photo = nth(f'data/{folder}', i)
    try: photo.rename(f'data/{folder}/{name}')
    except (OSError, ValueError): return
    if in_table is None: return
    swap_text(f'data/{folder}.csv', f'{folder}/{photo.name}', f'{folder}/{in_table or name}')


def swap_text(path, old, new):
    write(path, Path(path).read_text(encoding='utf-8').replace(old, new))


def write_photo(folder, i, mode, kind, width, height, level):
    "Put another picture into the place of a photo."
    try:
        with io.BytesIO() as file:
            Image.new(mode, (width, height), level if mode in 'LI;16F1P' else None).save(file, kind)
            content = file.getvalue()
    except (OSError, ValueError, KeyError): return
    nth(f'data/{folder}', i).write_bytes(content)


def replace_file(place, i, how, content):
    "Cut a file, change bytes of it, put other bytes, a folder, a link or nothing in its place."
    path = nth(place, i)
    old = path.read_bytes()
    path.unlink()
    at = len(content)*len(old)//64
    if how == 'bytes': path.write_bytes(content)
    elif how == 'cut': path.write_bytes(old[:at])
    elif how == 'change': path.write_bytes(old[:at] + content + old[at + len(content):])
    elif how == 'folder': path.mkdir()
    elif how == 'link out': path.symlink_to('/etc/passwd')
    elif how == 'link round': path.symlink_to(path.name)
    elif how == 'pipe': os.mkfifo(path)


def edit_json(run, name, keys, value):
    "Change a setting, or all of a file."
    path = Path(run, name)
    whole = part = json.loads(path.read_text())
    for key in keys[:-1]:
        inner = sorted(k for k, v in part.items() if isinstance(v, dict)) if isinstance(part, dict) else []
        if inner: part = part[inner[key % len(inner)]]
    if keys and isinstance(part, dict) and part: part[sorted(part)[keys[-1] % len(part)]] = value
    else: whole = value
    path.write_text(json.dumps(whole))


def nest_json(run, name, text): Path(run, name).write_text(text)


def nth_of(pattern, i):
    "A file of a pattern."
    files = sorted(Path().glob(pattern))
    return files[i % len(files)]


def nth(folder, i):
    "A file of a folder."
    files = sorted(o for o in Path(folder).iterdir() if o.is_file())
    return files[i % len(files)]


def harm(f, *args): return st.tuples(st.just(f), *args)


tables, photos, runs = (st.sampled_from(o) for o in (TABLES, ('test', 'train'), RUNS))
modes = st.sampled_from(['RGB', 'L', 'RGBA', 'P', '1', 'CMYK', 'I;16', 'F', 'LA'])
kinds = st.sampled_from(['JPEG', 'PNG', 'BMP', 'GIF', 'TIFF', 'WEBP', 'PPM', 'ICO'])
ways = st.sampled_from(['bytes', 'cut', 'change', 'folder', 'link out', 'link round', 'pipe', 'nothing'])
harms = st.one_of(
    harm(edit_table, tables, spots, st.none() | spots, cells),
    harm(save_table, tables, st.sampled_from(['utf-8', 'utf-16', 'utf-16-be', 'latin-1', 'utf-8-sig']),
         st.sampled_from(',;\t|')),
    harm(lose_column, tables, spots),
    harm(repeat_rows, tables, spots, st.integers(1, 6)),
    harm(keep_rows, tables, spots, st.integers(0, 6)),
    harm(rename_photo, photos, spots, names, st.none() | names),
    harm(write_photo, photos, spots, modes, kinds, st.integers(1, 90), st.integers(1, 90),
         st.integers(0, 255)),
    harm(replace_file, st.sampled_from(['data', 'data/test', 'data/train', *RUNS, *KEPT]), spots, ways,
         st.binary(max_size=64)),
    harm(edit_json, runs, st.sampled_from(JSONS), st.lists(spots, max_size=2), st.sampled_from(VALUES)),
    harm(nest_json, runs, st.sampled_from(JSONS),
         st.sampled_from(['['*10**5, '{"a":'*10**5, '', 'NaN', '\0'])),
    harm(edit_weights, st.sampled_from([f'{o}.safetensors' for o in ('net/fold*', '*/features*', '*/looks')]),
         spots, st.sampled_from([0, 1e30, float('nan'), -1]),
         st.none() | st.sampled_from([(), (0,), (1,), (3, 1), (12, 33)]),
         st.sampled_from([{}, {'config': '[]'}, {'config': '['*10**4}, {'fold': 'x'}, {'x': ''}])))


# --- Commands

def line(name, *fixed, good=(), odd=None):
    "A command line: what is fixed, flags that may be given, and sometimes one flag with an odd value."
    flags = st.lists(st.sampled_from(good), unique=True) if good else st.just([])
    more = [v.map(lambda o, k=k: [f'--{k}={o}']) for k, v in (odd or {}).items()]
    some = st.integers(0, 5).flatmap(lambda i: st.one_of(more) if i == 5 and more else st.just([]))
    return st.tuples(flags, some).map(lambda o: [name, *fixed, *o[0], *o[1]])


coverages = st.sampled_from(['.9', '0', '1', '-1', 'nan', 'inf', '1e999'])
odd = dict(coverage=coverages, tta=st.just('x'), store=outs, out=outs | outs.map('{}.csv'.format))
given_flags = ['--tta=none', '--tta=d4', '--intervals']
commands = st.one_of(
    *[line('biomass_predict', '--data=data', '--coverage=.5', f'--run={run}',
           good=[*given_flags, '--bad_photos=mean'], odd=dict(data=paths, run=paths, **odd)) for run in RUNS],
    *[line('biomass_photos', '--photos=data/test', '--coverage=.5', f'--run={run}', good=given_flags,
           odd=dict(photos=paths, run=paths, quadrat=st.sampled_from(['0x0', '1e9x1', '٧x٣']), **odd))
      for run in RUNS],
    line('biomass_check', '--data=data', odd=dict(data=paths)),
    line('biomass_ensemble', '--data=data', '--coverage=.5', '--run=net', '--run=feat',
         good=[*given_flags, '--bad_photos=mean', '--scale', '--weights=equal', '--rules=WA:Dry_Dead_g=0'],
         odd=dict(run=paths, weights=st.sampled_from(['-1,1', 'nan,1', 'x']),
                  rules=st.just('WA:Dry_Dead_g=1e999'), **odd)),
    line('biomass_pack', '--user=grazier', '--run=net', '--out=packed', odd=dict(run=paths, slug=names)))
slow = st.one_of(
    line('biomass_photos', '--photos=data/test', '--run=net', '--report', odd=dict(photos=paths)),
    line('biomass_embed', '--data=data', '--img_size=16', '--folds=2', '--out=made', odd=dict(data=paths)),
    line('biomass_train', '--data=data', '--preset=demo', '--backbone=test_vit', '--weights=random',
         '--img_size=32', '--folds=2', '--epochs=1', '--out=made', odd=dict(data=paths)))
lines = st.integers(0, 19).flatmap(lambda i: slow if i == 7 else commands)


# --- An example

@cache
def originals():
    "Folders with drawn quadrats, a network and a run of frozen features, which all examples copy."
    folder = Path(tempfile.mkdtemp(prefix='fuzz'))
    os.environ['BIOMASS_NB_CACHE'] = str(folder/'cache')
    for line in ('biomass_synth --out data --train 12 --test 4 --sites 6 --test-sites 4 --width 64',
                 'biomass_train --data data --out net --preset demo --backbone test_vit --img_size 32 '
                 '--folds 2 --epochs 1 --weights random',
                 'biomass_embed --data data --out feat --img_size 16 --folds 2',
                 'biomass_predict --data data --run net'):
        code, said = call(folder, *line.split())
        assert code == 0, said
    return folder


def call(folder, name, *argv):
    "Exit code and standard error of a command."
    with chdir(folder), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        try: getattr(cli, name)(*argv)
        except SystemExit as e:
            if not isinstance(e.code, str): return e.code or 0, said.getvalue()
            return 1, f'{said.getvalue()}{e.code}\n'
    return 0, said.getvalue()


def contents(folder):
    "The files of a folder with their bytes."
    return {o: o.read_bytes() for o in sorted(Path(folder).rglob('*')) if o.is_file() and not o.is_symlink()}


def check_tables():
    "All grams that were written are finite, not negative, and add up."
    for path in Path().glob('*.csv'):
        df = pd.read_csv(path)
        if path.name.endswith('_paddocks.csv'): continue
        if 'sample_id' in df:
            df[['photo', 'target_name']] = df.sample_id.str.rsplit('__', n=1, expand=True)
            df = df.pivot(index='photo', columns='target_name', values='target').reset_index()
        elif 'note' in df: df = df[df.note.isna() | df.GDM_g.notna()]
        grams = df[list(TARGETS)].to_numpy(float).round(3)
        if 'photo' in df and 'note' in df: assert np.isfinite(grams).all() and (grams >= 0).all(), path
        else: check_grams(df[list(TARGETS)].to_numpy(float), df.iloc[:, 0])


def check_example(done, line):
    "Do harm to a copy of the folders, run a command, and look at how it ended."
    with tempfile.TemporaryDirectory(dir=originals(), prefix='e') as tmp, chdir(tmp):
        for name in ('data', 'cache', *RUNS): shutil.copytree(originals()/name, name)
        os.environ['BIOMASS_NB_CACHE'] = f'{tmp}/cache'
        for f, *args in done:
            try: f(*args)
            except Exception: pass  # harm upon harm
        before = contents('data')
        code, said = call('.', *line)
        note(f'exit code {code}: {said}')
        own = [o for o in said.splitlines() if not o.startswith('warning: ')]
        if code == 0: check_tables()
        else: assert code == 1 and len(own) == 1 and re.match('error: .*', own[0]), said
        assert contents('data') == before, 'the input was changed'


def main(examples=EXAMPLES):
    "Faults, as text."
    nightly = examples != EXAMPLES
    how = settings(max_examples=examples, deadline=None, database=None, derandomize=not nightly,
                   suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
                   report_multiple_bugs=True, print_blob=False)
    test = how(given(st.lists(harms, max_size=2), lines)(check_example))
    try: test()
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt): raise
        return e
    finally: shutil.rmtree(originals(), ignore_errors=True)


if __name__ == '__main__':
    fault = main(int(sys.argv[1]) if sys.argv[1:] else EXAMPLES)
    if fault: raise fault
