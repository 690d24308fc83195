"""How often 90% intervals hold, on synthetic quadrats of seen and of new sites.

    python benchmarks/coverage.py --seeds 6

For each seed 20 sites are drawn. Half of their photos train. The other half are held out: photos of seen
sites. Another 160 photos are of 16 new sites. The folds of one run divide photos (leaky), those of another
divide sites. Their out-of-fold errors calibrate intervals in the ways of WAYS. Rows are added to coverage.csv
beside this file, seed after seed. nbs/06a_intervals.ipynb shows them.
"""
import numpy as np
import pandas as pd
from biomass_nb.data import TARGETS, find_photos, groups_of, read_train
from biomass_nb.intervals import apply_intervals, coverage, fit_intervals
from biomass_nb.run import view_spread
from biomass_nb.synth import write_quadrats
from measure import by_seed, trained

# leaky: folds of photos, not of sites; by_site: the sampling unit is a site, not a photo; scaled by the
# spread over views; together: all members predict a new photo, not one at a time as out of fold
WAYS = {
    'photos, one model': dict(leaky=True, by_site=False, scaled=True, together=False),
    'photos': dict(leaky=True, by_site=False, scaled=True, together=True),
    'folds of sites, unit photo': dict(leaky=False, by_site=False, scaled=True, together=True),
    'sites': dict(leaky=False, by_site=True, scaled=True, together=True),
    'sites, all as wide': dict(leaky=False, by_site=True, scaled=False, together=True),
}


def draw(folder, seed, numbers):
    "A folder whose train.csv has half of the photos; tables of the other half, and of those of new sites."
    data = write_quadrats(folder, *numbers, seed, (256, 128))
    rows = pd.read_csv(data/'train.csv')
    photos = pd.unique(rows.image_path)
    late = rows.image_path.isin(photos[len(photos)//2:])  # sites come in turn, so both halves have them all
    for name, part in dict(train=rows[~late], seen=rows[late]).items():
        part.to_csv(data/f'{name}.csv', index=False)
    return data, dict(seen=read_train(data/'seen.csv'), new=read_train(data/'test_labels.csv'))


def grams(table, kind=''): return table[[f'{kind}{t}' for t in TARGETS]].to_numpy()


def calibrate(oof, by_site, scaled):
    "Intervals from a table of out-of-fold predictions."
    groups = groups_of(oof) if by_site else range(len(oof))
    spread = grams(oof, 'spread_') if scaled else None
    return fit_intervals(grams(oof), grams(oof, 'pred_'), spread, groups, .9)


def held(model, df, each, scaled, together):
    "How often the intervals of photos hold; `each` is (M, V, N, 5) grams. Members apart: their mean."
    tables = []
    for members in [each] if together else np.split(each, len(each)):
        bounds = apply_intervals(model, members.mean((0, 1)), view_spread(members) if scaled else None)
        tables.append(coverage(grams(df), *bounds, groups_of(df)))
    return sum(tables)/len(tables)


def one_seed(seed, folder, numbers=(480, 160, 20, 16), **small):
    "(way, sites, target, share of photos covered, its mean over sites, width in grams)."
    data, new = draw(folder/'data', seed, numbers)
    settings = dict(epochs=10, img_size=96, seed=seed) | small
    for leaky in (False, True):
        run = trained(data, folder/f'run{leaky}', leaky=leaky, **settings)
        oof = run.out_of_fold('flip3', data)
        each = {sites: run.predict_each(find_photos(df, data), 'flip3') for sites, df in new.items()}
        for way, w in WAYS.items():
            if w['leaky'] != leaky: continue
            model = calibrate(oof, w['by_site'], w['scaled'])
            for sites, df in new.items():
                table = held(model, df, each[sites], w['scaled'], w['together'])
                for target, r in table.iterrows(): yield way, sites, target, r.photos, r.groups, r.width_g


QUICK = dict(numbers=(40, 12, 10, 4), epochs=1, img_size=64, n_folds=2)
COLUMNS = ['seed', 'way', 'sites', 'target', 'photos', 'groups', 'width_g']

if __name__ == '__main__': by_seed(__doc__, one_seed, COLUMNS, **QUICK)
