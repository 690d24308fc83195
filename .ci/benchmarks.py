"""Run each benchmark once with --quick, on drawn quadrats: python .ci/benchmarks.py [NAME ...]

A benchmark is run by hand, once in a while. So nobody would see that a change of the library broke it. This
is part of the nightly tests. Nothing is kept.
"""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from biomass_nb.data import find_photos, read_train
from biomass_nb.features.embed import extract
from biomass_nb.synth import write_quadrats

ROOT = Path(__file__).resolve().parent.parent
SMALL = {  # of those without --quick
    'folder': ['--photos', '12', '24', '--work', 'folder'],
    'frames': ['--scenes', '4', '--others', '1', '--out', 'frames.csv'],
    'real_labels': ['--data', 'data', '--heads', 'ridge', '--folds', '2', '--seeds', '1'],
}


def draw(data):
    "Quadrats of 22 sites, with features as `real_labels.py` reads them."
    df = read_train(write_quadrats(data, 66, 2, 22, 2, size=(128, 64)))
    features = extract(find_photos(df, data), img_size=64, store=data/'store').mean()
    np.save(data/'embeddings_colour.npy', features)
    (data/'embeddings_ids.txt').write_text('\n'.join(df.image_id))


def words(path):
    "The command line of a benchmark."
    text, line = path.read_text(), [sys.executable, '-W', 'ignore', path]
    if path.stem in SMALL: return line + SMALL[path.stem]
    if 'photo_parser(' in text: line += ['--work', f'work_{path.stem}', '--out', f'{path.stem}.csv']
    if 'photo_parser(' in text or "'--data'" in text: line += ['--data', 'data']
    return line + ['--quick']


def main(names):
    paths = [p for p in sorted((ROOT/'benchmarks').glob('*.py'))
             if "__name__ == '__main__'" in p.read_text() and (not names or p.stem in names)]
    failed = []
    with tempfile.TemporaryDirectory() as tmp:
        draw(Path(tmp, 'data'))
        for path in paths:
            start = time.time()
            res = subprocess.run(words(path), capture_output=True, text=True, cwd=tmp)
            print(f'{path.stem}: {"ok" if not res.returncode else "failed"}, {time.time() - start:.0f} s',
                  flush=True)
            if res.returncode:
                failed.append(path.stem)
                print(*(res.stdout + res.stderr).splitlines()[-12:], sep='\n', flush=True)
    print(f'{len(paths) - len(failed)} of {len(paths)} benchmarks run')
    return bool(failed) or not paths


if __name__ == '__main__': sys.exit(main(sys.argv[1:]))
