"""How often the frame of a quadrat is found, and how often one is found where none is.

    python benchmarks/frames.py --out benchmarks/frames.csv
    python benchmarks/frames.py --data csiro-biomass --data other --out benchmarks/frames.csv

Scenes are drawn by `biomass_nb.paddock.frames.draw_scene` around drawn quadrats, with seeds on which no
limit was set. An answer is right where no corner is off by 2% of the quadrat's length, or where nothing is
found and there is nothing. It is wrong where something else is found. Each --data holds photos of quadrats
alone, below it in any folder. They are searched as they are, and frames are drawn around them. The table has
a row for each ground and kind. Rows that are in the file are not computed again. The last row is the time
for a photo of 12 megapixels.
"""
import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from biomass_nb.decode import load_photo
from biomass_nb.paddock.frames import FRAMES, NO_FRAMES, RIGHT, corner_error, draw_scene, find_frame
from biomass_nb.paddock.photos import list_photos
from biomass_nb.synth import render_quadrat, sample_grams, sample_sites

FIRST = 10_000   # seed


def drawn(seed, size=(840, 360)):
    "A drawn quadrat of any site."
    site, rng = sample_sites(4, seed)[seed % 4], np.random.default_rng([seed, 3])
    return render_quadrat(sample_grams(site, rng), site, rng, size)


def quadrats(photos, seed):
    "A drawn quadrat, or one of the photos, for a seed."
    if not photos: return drawn(seed)
    im = load_photo(photos[seed % len(photos)])
    return np.asarray(im.resize((840, 840*im.height//im.width)))


def count(scenes):
    "The row of some scenes: pairs of a photo and the true corners, None without a frame."
    right, wrong, errors, seconds, n = 0, 0, [], 0, 0
    for im, true in scenes:
        start = time.perf_counter()
        found = find_frame(im)
        seconds, n = seconds + time.perf_counter() - start, n + 1
        error = np.nan if found is None or true is None else corner_error(found, true)
        good = found is None if true is None else error < RIGHT
        right, wrong = right + good, wrong + (found is not None and not good)
        errors.append(error)
    errors = pd.Series(errors, dtype=float)
    return dict(photos=n, right=right, wrong=wrong, error_median=errors.median(),
                error_95=errors.quantile(.95), seconds=seconds/n)


def cases(o):
    "(ground, kind, function that gives scenes) for each row."
    grounds = dict(drawn=([], o.scenes, o.others))
    for folder in o.data:
        photos = list_photos(folder)
        grounds[Path(folder).name] = photos, len(photos), 0
    for ground, (photos, framed, others) in grounds.items():
        for i, kind in enumerate([*FRAMES, *NO_FRAMES]):
            n = framed//3 if i < 3 else others
            seeds = range(FIRST + 1000*i, FIRST + 1000*i + n)
            if n: yield ground, kind, lambda s=seeds, k=kind, p=photos: (
                draw_scene(quadrats(p, seed), k, seed) for seed in s)
        plain = photos or range(FIRST, FIRST + o.others)
        yield ground, 'quadrat alone', lambda p=plain: (
            (drawn(x, (1000, 500)) if isinstance(x, int) else np.asarray(load_photo(x)), None) for x in p)
    yield 'drawn, 12 megapixels', 'tape', lambda: (
        draw_scene(drawn(s, (2520, 1080)), 'tape', s, (4000, 3000)) for s in range(FIRST, FIRST + 5))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--scenes', type=int, default=240, help='drawn scenes with frames')
    p.add_argument('--others', type=int, default=50, help='drawn scenes of each kind without a frame')
    p.add_argument('--data', action='append', default=[], help='folder with photos of quadrats alone')
    p.add_argument('--out', default='benchmarks/frames.csv', help='table to write')
    o = p.parse_args()
    out = Path(o.out)
    rows = pd.read_csv(out).to_dict('records') if out.exists() else []
    for ground, kind, scenes in cases(o):
        if any((r['ground'], r['kind']) == (ground, kind) for r in rows): continue
        rows.append(dict(ground=ground, kind=kind, **count(scenes())))
        pd.DataFrame(rows).round(4).to_csv(out, index=False)
        print(pd.DataFrame(rows[-1:]).round(4).to_string(index=False, header=len(rows) == 1), flush=True)


if __name__ == '__main__': main()
