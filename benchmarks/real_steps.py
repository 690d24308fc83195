"""The strategy's steps and choices of training on real photos, with pretrained weights, scored out of fold.

    python benchmarks/real_steps.py --data csiro-biomass --out benchmarks/real_steps.csv

The reference is the recipe of the preset `pretrained` before MixUp: with flips and without mixing, at 224
pixels, a quarter of the preset's area, for time's sake. Each variant
differs from it in what its row names. All are trained on the same folds by (State, Sampling_Date), and scored
once on the pooled out-of-fold predictions. For the pseudo-labels each fold in turn is the unlabelled set, as
the test photos are in the competition: two members are trained on the other folds, label its photos, and
train again with these. Rows that are in the file are not computed again, and a training that was interrupted
goes on, so the same command continues. nbs/tutorials/gold.ipynb and ablation.ipynb show the rows.
"""
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from biomass_nb.core import progress
from biomass_nb.data import TARGETS
from biomass_nb.ensemble import blend
from biomass_nb.pseudo import iterate
from biomass_nb.run import Run
from measure import part_of
from real_photos import UNMIXED, Job, gain_row, parse, photo_parser

HEAVY_NAME, HEAVY = 'heavy augmentation, MixUp and CutMix', dict(tfms='heavy', mix=.5)
VARIANTS = {  # what differs from the preset
    'reference': {},
    'concat': dict(head='concat', ridge=0.),
    'FiLM': dict(head='film', ridge=0.),
    'density head': dict(head='density'),
    'whole and density head': dict(stream='whole', head='density'),
    'no augmentation': dict(variants=1),
    'heavy augmentation': dict(tfms='heavy'),
    'MixupCutmix': dict(mix=.5),
    HEAVY_NAME: HEAVY,
    'no EMA': dict(ema=0.),
    'weighted MSE': dict(loss='weighted_mse'),
    'Huber': dict(loss='huber'),
    'R2': dict(loss='r2'),
    'combined': dict(loss='combined'),
    'combined loss': HEAVY | dict(loss='combined'),
    '7 intervals': dict(intervals=.3),
    'metadata': dict(metadata=.3),
    'no ridge start': dict(ridge=0.),
    'norms trained': dict(norms='train'),
    'second backbone': HEAVY | dict(backbone='tf_efficientnet_lite2'),
}
VIEWS = dict(flip3='3 views', d4='8 views')
OVER = {'combined loss': HEAVY_NAME, 'second backbone': HEAVY_NAME, 'two backbones': HEAVY_NAME,
        'pseudo-labels': 'two members', '3 views': 'reference',
        '8 views': '3 views'}  # what a row is compared with; others: the reference


class Seed(Job):
    "The photos with the folds of a seed, and out-of-fold grams of runs that are trained on them."
    def reference(self, name, data=None, **changes):
        "A run of the preset `pretrained` at 224 pixels, without MixUp, with changes."
        return self.train(name, 'pretrained', data, **UNMIXED | dict(img_size=224) | changes)

    def pseudo(self):
        "Grams before and after pseudo-labels, when each fold in turn is the unlabelled set."
        before, after = np.zeros((2, len(self.df), len(TARGETS)))
        for k in range(self.df.fold.max() + 1):
            rows = np.flatnonzero(self.df.fold == k)
            photos, there = [self.paths[i] for i in rows], self.folder/f'pseudo{k}'
            data = part_of(self.data, self.df.image_id[self.df.fold != k], there/'data')
            test = self.df.iloc[rows][['image_id', 'image_path']]
            first = self.reference(f'pseudo{k}/run', data, n_folds=2)
            iterate(data, first, test, there/'rounds', rounds=1, teachers='all', verbose=False)
            before[rows] = first.predict(photos, 'none')
            after[rows] = Run(there/'rounds'/'round1', first.store).predict(photos, 'none')
        return before, after

    def variants(self):
        "(name, out-of-fold grams)"
        heavy = []
        for name, changes in progress(VARIANTS.items(), f'variants of seed {self.seed}'):
            run = self.reference(name, **changes)
            yield name, (grams := self.out_of_fold(run, 'none'))
            if name == 'reference':
                for views, label in VIEWS.items(): yield label, self.out_of_fold(run, views)
            if name in (HEAVY_NAME, 'second backbone'): heavy.append(grams)
        yield 'two backbones', blend(heavy)
        yield from zip(('two members', 'pseudo-labels'), self.pseudo())


def main():
    o = parse(photo_parser(__doc__, __file__))
    table = pd.read_csv(o.out) if o.out.exists() else pd.DataFrame()
    for number in o.seeds[:1] if o.quick else o.seeds:
        seed, start, done = Seed(o.data, Path(o.work)/f'seed{number}', number, o.quick), time.time(), {}
        for name, grams in seed.variants():
            done[name] = grams
            over = done[OVER.get(name, 'reference')]
            row = dict(seed=number, photos=len(seed.df), variant=name, **gain_row(seed.df, grams, over))
            print(*row.values(), f'{time.time() - start:.0f} s', flush=True)
            if o.quick: continue
            table = pd.concat([table, pd.DataFrame([row])]).drop_duplicates(['seed', 'variant'], keep='last')
            table.to_csv(o.out, index=False, lineterminator='\n')


if __name__ == '__main__': sys.exit(main())
