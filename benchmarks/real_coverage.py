"""How often 90% intervals hold on real photos, of sites that training has seen and of new ones.

    python benchmarks/real_coverage.py --data csiro-biomass --out benchmarks/real_coverage.csv

Out-of-fold errors on folds by (State, Sampling_Date) calibrate the intervals, each site as one draw, all as
wide. `new` photos are those of the held-out sites: each gets its interval from the errors of the other folds.
`seen` photos are held out of folds of photos, so training has seen other photos of their sites. Their
intervals are calibrated on the errors of photos of the other folds, with sites held out. `frozen` is a kernel
head on `tf_efficientnet_lite0` at 448 pixels, `fine-tuned` the preset `pretrained`. An interrupted training
goes on with the same command. nbs/results.ipynb shows the rows.
"""
import sys

import numpy as np
import pandas as pd
import torch
from biomass_nb.core import cross_fit
from biomass_nb.data import TARGETS, assign_folds, groups_of
from biomass_nb.intervals import apply_intervals, coverage, fit_intervals
from real_photos import FROZEN, Job, photo_parser


def intervals(y, oof, preds, groups, folds):
    "Bounds of `preds` of each fold, calibrated on the errors of `oof` in the others."
    fit = lambda train: fit_intervals(y[train], oof[train], None, groups[train], .9)
    return cross_fit(folds, fit, lambda model, new: apply_intervals(model, preds[new]), axis=1)


def one_seed(job):
    "(predictor, sites, table of `coverage`)"
    y, groups = job.df[list(TARGETS)].to_numpy(), groups_of(job.df).to_numpy()
    by_site, n = job.df, int(job.df.fold.max() + 1)
    by_photo = assign_folds(by_site.drop(columns='fold'), n, job.seed, leaky=True)
    def frozen(df):
        job.df = df
        return job.frozen(FROZEN[0], 'kernel')
    def tuned(df):
        job.df, leaky = df, df is by_photo
        return job.network('leaky' if leaky else 'pretrained', 'pretrained', leaky=leaky)
    for who, predict in (('frozen', frozen), ('fine-tuned', tuned)):
        oof = predict(by_site)
        for sites, df in dict(new=by_site, seen=by_photo).items():
            preds = oof if df is by_site else predict(df)
            yield who, sites, coverage(y, *intervals(y, oof, preds, groups, df.fold), groups)
    job.df = by_site


def main():
    p = photo_parser(__doc__, __file__)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    tables = []
    for seed in o.seeds[:1] if o.quick else o.seeds:
        for who, sites, table in one_seed(Job(o.data, o.work/f'seed{seed}', seed, o.quick)):
            facts = dict(seed=seed, predictor=who, sites=sites)
            tables.append(table.rename_axis('target').reset_index().assign(**facts))
            print(seed, who, sites, table.photos.round(2).to_dict(), flush=True)
        if not o.quick: pd.concat(tables).round(4).to_csv(o.out, index=False, lineterminator='\n')


if __name__ == '__main__': sys.exit(main())
