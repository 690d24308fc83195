"""How often 90% intervals hold on real photos, of sites that training has seen and of new ones.

    python benchmarks/real_coverage.py --data csiro-biomass --out benchmarks/real_coverage.csv

Out-of-fold errors on folds by (State, Sampling_Date) calibrate the intervals, each site as one draw, all as
wide. `new` photos are those of the held-out sites: each gets its interval from the errors of the other folds.
`seen` photos are held out of folds of photos, so training has seen other photos of their sites. Their
intervals are calibrated on the errors of photos of the other folds, with sites held out. `frozen` is a kernel
head on `tf_efficientnet_lite0`, `fine-tuned` the preset `pretrained`, both at 448 pixels. An interrupted
training goes on with the same command. nbs/results.ipynb shows the rows.
"""
import sys
from itertools import product

import pandas as pd
from biomass_nb.core import cross_fit
from biomass_nb.data import TARGETS, assign_folds, groups_of
from biomass_nb.intervals import apply_intervals, coverage, fit_intervals
from real_photos import FROZEN, Job, parse, photo_parser


def intervals(y, oof, preds, groups, folds):
    "Bounds of `preds` of each fold, calibrated on the errors of `oof` in the others."
    fit = lambda train: fit_intervals(y[train], oof[train], None, groups[train], .9)
    return cross_fit(folds, fit, lambda model, new: apply_intervals(model, preds[new]), axis=1)


class Sites(Job):
    "Predictions with sites or photos held out."
    def __init__(self, *args):
        super().__init__(*args)
        self.by_site = self.df
        n = int(self.df.fold.max() + 1)
        self.by_photo = assign_folds(self.df.drop(columns='fold'), n, self.seed, leaky=True)

    def predict(self, who, leaky):
        self.df = self.by_photo if leaky else self.by_site
        if who == 'frozen': return self.frozen(FROZEN[0], 'kernel')
        name = '448, leaky' if leaky else '448, by site'
        return self.network(name, 'pretrained', leaky=leaky, img_size=448)

    def coverage(self, who, sites):
        "Table of `coverage` for new or seen sites."
        y, groups = self.by_site[list(TARGETS)].to_numpy(), groups_of(self.by_site).to_numpy()
        oof = self.predict(who, False)
        preds = oof if sites == 'new' else self.predict(who, True)
        return coverage(y, *intervals(y, oof, preds, groups, self.df.fold), groups)


def main():
    o = parse(photo_parser(__doc__, __file__))
    seeds = o.seeds[:1] if o.quick else o.seeds
    jobs = [Sites(o.data, o.work/f'seed{seed}', seed, o.quick) for seed in seeds]
    tables = []
    for who, sites, job in product(('frozen', 'fine-tuned'), ('new', 'seen'), jobs):
        table, facts = job.coverage(who, sites), dict(seed=job.seed, predictor=who, sites=sites)
        tables.append(table.rename_axis('target').reset_index().assign(**facts))
        print(*facts.values(), table.photos.round(2).to_dict(), flush=True)
        if not o.quick: pd.concat(tables).round(4).to_csv(o.out, index=False, lineterminator='\n')


if __name__ == '__main__': sys.exit(main())
