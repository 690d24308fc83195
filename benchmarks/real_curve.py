"""How many quadrats to cut: scores by the number of photos and of sites that train.

    python benchmarks/real_curve.py --data csiro-biomass --out benchmarks/real_curve.csv

For each seed, and for each of its five folds by (State, Sampling_Date), some of the photos of the other
folds train and the fold is predicted. `many sites` takes photos from all sites in turn, `few sites` takes
whole sites until there are enough photos. The pooled predictions are scored once. `frozen` is a kernel head
on the features of `tf_efficientnet_lite0`, `fine-tuned` the recipe of the preset `pretrained` before MixUp,
with flips and without mixing, both at 448 pixels, `blend` the mean of both.
Rows that are in the file are not computed again, and a training that was interrupted goes on, so the same
command continues. nbs/results.ipynb shows the rows.
"""
import sys
from itertools import zip_longest

import numpy as np
import pandas as pd
from biomass_nb.core import progress
from biomass_nb.data import TARGETS, groups_of
from biomass_nb.features.embed import extract
from biomass_nb.features.heads import KernelHead
from biomass_nb.losses import weighted_r2
from measure import part_of
from real_photos import FROZEN, UNMIXED, Job, parse, photo_parser

NUMBERS = 20, 40, 60, None  # None: all photos of the other folds


def in_order(groups, sites_first, rng):
    "Rows in the order in which they are taken: site after site, or from all sites in turn."
    sites = [rng.permutation(np.flatnonzero(groups == o)) for o in rng.permutation(np.unique(groups))]
    if sites_first: return np.concatenate(sites)
    return np.array([i for photos in zip_longest(*sites) for i in photos if i is not None])


class Curve(Job):
    "The photos and folds of a seed, and what is learned from a part of them."
    def taken(self, sites, number):
        "For each fold: the rows that train, and those that are predicted."
        groups = groups_of(self.df).to_numpy()
        for k in range(self.df.fold.max() + 1):
            others = np.flatnonzero(self.df.fold != k)
            order = in_order(groups[others], sites == 'few sites', np.random.default_rng([self.seed, k]))
            yield k, others[order[:number]], np.flatnonzero(self.df.fold == k)

    def predict(self, predict_fold, sites, number):
        "Grams of all photos; `predict_fold(k, training rows, held-out rows)` gives those of a fold."
        res = np.zeros((len(self.df), len(TARGETS)))
        for k, seen, rest in self.taken(sites, number): res[rest] = predict_fold(k, seen, rest)
        return res

    def kernel(self, X):
        y, groups = self.df[list(TARGETS)].to_numpy(), groups_of(self.df).to_numpy()
        return lambda k, seen, rest: KernelHead().fit(X[seen], y[seen], groups=groups[seen]).predict(X[rest])

    def fine_tuned(self, name):
        def predict_fold(k, seen, rest):
            there = self.folder/f'curve, {name}, {k}'
            data = part_of(self.data, self.df.image_id.iloc[seen], there/'data')
            run = self.train(f'{there.name}/run', 'pretrained', data, n_folds=0, **UNMIXED)
            return run.predict([self.paths[i] for i in rest], 'none')
        return predict_fold


def one_seed(job, networks):
    "(photos a fold, sites, predictor, score)"
    X = extract(job.paths, FROZEN[0], store=job.store, img_size=64 if job.quick else 448).mean()
    y = job.df[list(TARGETS)].to_numpy()
    for number in progress(NUMBERS[::2] if job.quick else NUMBERS, f'seed {job.seed}'):
        for sites in ('many sites', 'few sites')[:1 if number is None else 2]:
            sizes = [len(seen) for _, seen, _ in job.taken(sites, number)]
            row = round(np.mean(sizes)), 'all sites' if number is None else sites
            frozen = job.predict(job.kernel(X), sites, number)
            yield *row, 'frozen', weighted_r2(y, frozen)
            if not networks: continue
            if number is None: tuned = job.network('unmixed', 'pretrained', 'none', **UNMIXED)
            else: tuned = job.predict(job.fine_tuned(f'{row[0]} {row[1]}'), sites, number)
            yield *row, 'fine-tuned', weighted_r2(y, tuned)
            yield *row, 'blend', weighted_r2(y, (frozen + tuned)/2)


def main():
    p = photo_parser(__doc__, __file__, seeds=10)
    p.add_argument('--networks', type=int, default=1, help='seeds, of the first ones, that train networks')
    o = parse(p)
    table = pd.read_csv(o.out) if o.out.exists() else pd.DataFrame()
    for i, seed in enumerate(o.seeds[:1] if o.quick else o.seeds):
        job = Curve(o.data, o.work/f'seed{seed}', seed, o.quick)
        for photos, sites, who, score in one_seed(job, i < o.networks):
            row = dict(seed=seed, photos=photos, sites=sites, predictor=who, weighted_r2=round(score, 4))
            print(*row.values(), flush=True)
            if o.quick: continue
            table = pd.concat([table, pd.DataFrame([row])]).drop_duplicates([*row][:-1], keep='last')
            table.to_csv(o.out, index=False, lineterminator='\n')


if __name__ == '__main__': sys.exit(main())
