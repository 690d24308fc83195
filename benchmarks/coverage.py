"""How often 90% intervals hold, on synthetic quadrats of seen and of new sites.

    python benchmarks/coverage.py --seeds 6

For each seed 20 sites are drawn. Half of their photos train, the other half are held out: photos of seen sites. Another 160 photos are of
16 new sites. One run has folds of photos (leaky), one folds of sites; their out-of-fold errors calibrate intervals in the ways of WAYS.
Rows are added to coverage.csv beside this file as they come; seeds that are there are not computed again. nbs/06a_intervals.ipynb shows them.
"""
from pathlib import Path

import numpy as np
import pandas as pd
from biomass_nb.data import TARGETS, find_photos, groups_of, read_train
from biomass_nb.intervals import apply_intervals, coverage, fit_intervals
from biomass_nb.runs import make_config
from biomass_nb.synth import write_quadrats
from biomass_nb.train import train_folds
from biomass_nb.tta import oof_views, predict_views, view_spread

RESULTS = Path(__file__).with_name('coverage.csv')
WAYS = {  # folds of photos or of sites; what is one draw, a photo or a site; scaled by the spread over views; new photos predicted by all models together, or by one at a time, as out of fold
    'photos, one model': dict(leaky=True, by_site=False, scaled=True, together=False),
    'photos': dict(leaky=True, by_site=False, scaled=True, together=True),
    'folds of sites, draws of photos': dict(leaky=False, by_site=False, scaled=True, together=True),
    'sites': dict(leaky=False, by_site=True, scaled=True, together=True),
    'sites, all as wide': dict(leaky=False, by_site=True, scaled=False, together=True),
}


def draw(folder, seed):
    "A folder with 240 training photos; tables of 240 held-out photos of the same sites, and of 160 of others."
    data = write_quadrats(folder, 480, 160, 20, 16, seed, (256, 128))
    long = pd.read_csv(data/'train.csv')
    photos = pd.unique(long.image_path)
    late = np.isin(long.image_path, photos[len(photos)//2:])  # sites come in turn, so both halves have all of them
    for name, part in dict(train=long[~late], seen=long[late]).items(): part.to_csv(data/f'{name}.csv', index=False)
    return data, {'seen': read_train(data/'seen.csv'), 'new': read_train(data/'test_labels.csv')}


def arrays(table, kind): return table[[f'{kind}{t}' for t in TARGETS]].to_numpy()


def one_seed(seed, folder, ways=WAYS):
    "Rows (way, sites, target, share of photos covered, mean over sites of that share, width in grams)."
    data, new = draw(folder/'data', seed)
    for leaky in sorted({w['leaky'] for w in ways.values()}):
        run = folder/f'run{leaky}'
        train_folds(data, run, make_config('demo', epochs=10, img_size=96, seed=seed, leaky=leaky), folder/'store', verbose=False)
        oof = oof_views(run, data, 'flip3', folder/'store')
        each = {name: predict_views(run, find_photos(df, data), 'flip3', store=folder/'store') for name, df in new.items()}
        for way, w in ways.items():
            if w['leaky'] != leaky: continue
            fitted = fit_intervals(arrays(oof, ''), arrays(oof, 'pred_'), arrays(oof, 'spread_') if w['scaled'] else None, groups_of(oof) if w['by_site'] else range(len(oof)), .9)
            for name, df in new.items():
                groups = [each[name]] if w['together'] else np.split(each[name], len(each[name]))
                tables = [coverage(arrays(df, ''), *apply_intervals(fitted, e.mean((0, 1)), view_spread(e) if w['scaled'] else None), groups_of(df)) for e in groups]
                for target, r in (sum(tables)/len(tables)).iterrows(): yield way, name, target, r.photos, r.groups, r.width_g


if __name__ == '__main__':
    from measure import by_seed  # beside this script
    by_seed(__doc__, RESULTS, 'seed,way,sites,target,photos,groups,width_g', one_seed)
