"""What frozen, fine-tuned and plain networks score on real photos, on the same folds by site.

    python benchmarks/real_photos.py --data csiro-biomass --out benchmarks/real_photos.csv

For each seed, the photos of a folder with train.csv are divided into folds by (State, Sampling_Date). Every
predictor is scored out of fold. The table has a row for each seed and predictor: the pooled weighted R2, its
90% interval from resampled sites, the seconds on the clock, and the process's peak memory so far. Rows that
are in the file are not computed again, and a training that was interrupted goes on, so the same command
continues.
"""
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from biomass_nb.config import make_config
from biomass_nb.core import progress
from biomass_nb.data import TARGETS, assign_folds, find_photos, groups_of, out_of_fold_means, read_train
from biomass_nb.ensemble import blend
from biomass_nb.features.embed import extract
from biomass_nb.features.heads import KernelHead, head_oof, ridge_head
from biomass_nb.losses import weighted_r2
from biomass_nb.pretrained import packaged_file
from biomass_nb.run import Run
from biomass_nb.train import train_folds
from measure import add_workers, chosen_workers, parser
from PIL import Image

PREDICTIONS = [f'pred_{t}' for t in TARGETS]
FROZEN = 'tf_efficientnet_lite0', 'tf_efficientnet_lite2'
# The preset `pretrained` before MixUp, at half its size.
UNMIXED = dict(img_size=448, tfms='light', mix=0., mixup=.4, cutmix=1.)


class Job:
    "What the predictors share: the photos with the folds of a seed, and a folder for what is trained."
    def __init__(self, data, folder, seed, quick):
        self.data, self.folder, self.seed, self.quick = data, folder, seed, quick
        self.store = folder.parent/'store'
        self.df = assign_folds(read_train(data), 2 if quick else 5, seed)
        self.paths = find_photos(self.df, data)

    def frozen(self, backbone, head, size=448):
        "Out-of-fold grams of one head on frozen features; the features are kept."
        if self.quick: size = 64
        X = extract(self.paths, backbone, store=self.store,
                    img_size=None if backbone == 'colour' else size).mean()
        return head_oof(dict(ridge=ridge_head, kernel=KernelHead)[head](), X, self.df)

    def train(self, name, preset, data=None, **changes):
        "A trained run."
        small = dict(img_size=64, epochs=1, variants=2) if self.quick else {}
        settings = dict(n_folds=int(self.df.fold.max() + 1), seed=self.seed) | changes | small
        run = Run(self.folder/name, self.store)
        train_folds(data or self.data, run, make_config(preset, **settings), verbose=not self.quick)
        return run

    def out_of_fold(self, run, views):
        return run.out_of_fold(views, self.data)[PREDICTIONS].to_numpy()

    def network(self, name, preset, views='flip3', **changes):
        "Out-of-fold grams of a trained run."
        return self.out_of_fold(self.train(name, preset, **changes), views)


def plain_fastai(job):
    "What a user of fastai would do: a `Learner` on squashed photos, the same weights and folds, 20 epochs."
    import timm
    from biomass_nb.pretrained import timm_names
    from fastai.vision import all as v
    grams, epochs, size = np.zeros((len(job.df), 5)), *((1, 64) if job.quick else (20, 224))
    squashed = job.folder/'squashed'
    squashed.mkdir(exist_ok=True)
    for name, path in zip(job.df.image_id, job.paths):
        Image.open(path).convert('RGB').resize((size, size)).save(squashed/f'{name}.png')

    def body(pretrained=False, **kwargs):
        net = timm.create_model('tf_efficientnet_lite0', num_classes=0, global_pool='')
        state = torch.load(packaged_file('tf_efficientnet_lite0'), weights_only=True)
        net.load_state_dict(timm_names(state, net), strict=False)
        return net

    for fold in range(job.df.fold.max() + 1):
        table = job.df.assign(file=[f'{i}.png' for i in job.df.image_id], valid=job.df.fold == fold)
        block = v.DataBlock((v.ImageBlock, v.RegressionBlock(n_out=3)), splitter=v.ColSplitter('valid'),
                            get_x=v.ColReader('file', pref=squashed), get_y=v.ColReader(list(TARGETS[:3])),
                            batch_tfms=[*v.aug_transforms(flip_vert=True),
                                        v.Normalize.from_stats([.5]*3, [.5]*3)])
        v.set_seed(job.seed)
        dls = block.dataloaders(table, bs=8, num_workers=0)
        net = torch.nn.Sequential(body(), v.create_head(1280, 3))
        learn = v.Learner(dls, net, loss_func=v.MSELossFlat(), splitter=lambda m: [*map(v.params, m)])
        with learn.no_bar(), learn.no_logging():
            learn.fine_tune(epochs, 2e-2)  # targets are tens of grams: with fastai's 2e-3 it stays far below
            preds = learn.get_preds()[0].numpy()
        green, dead, clover = preds.clip(0).T
        rows = (job.df.fold == fold).to_numpy()
        grams[rows] = np.stack([green, dead, clover, green + clover, green + clover + dead], 1)
    shutil.rmtree(squashed)
    return grams


def predictors(job, done):
    "(name, function that gives out-of-fold grams), in the order of the table."
    y = job.df[list(TARGETS)].to_numpy()
    yield 'zeros', lambda: 0*y
    yield 'means', lambda: out_of_fold_means(job.df)
    yield 'means of the states', lambda: out_of_fold_means(job.df, by_state=True)
    for backbone in ('colour', *FROZEN):
        for head in ('ridge', 'kernel'):
            yield f'{head}, {backbone}', lambda b=backbone, h=head: job.frozen(b, h)
    large = make_config('pretrained').img_size
    for head in ('ridge', 'kernel'):
        yield f'{head}, {FROZEN[0]}, {large} px', lambda h=head: job.frozen(FROZEN[0], h, large)
    yield 'preset pretrained', lambda: job.network('pretrained', 'pretrained')
    yield 'blend', lambda: blend([done['preset pretrained'], done[f'kernel, {FROZEN[0]}']])
    yield 'plain fastai', lambda: plain_fastai(job)
    yield 'preset baseline', lambda: job.network('baseline', 'baseline', backbone=FROZEN[0], img_size=224)


def interval(df, grams, over=None, draws=500):
    "The 5% and 95% quantiles of the score over draws of sites, or of its gain over other grams."
    y, sites = df[list(TARGETS)].to_numpy(), groups_of(df)
    score = lambda i: weighted_r2(y[i], grams[i]) - (0 if over is None else weighted_r2(y[i], over[i]))
    rows = {k: np.flatnonzero(sites == k) for k in sites.unique()}
    rng, names = np.random.default_rng(0), list(rows)
    drawn = (np.concatenate([rows[k] for k in rng.choice(names, len(names))]) for _ in range(draws))
    return np.quantile([score(i) for i in drawn], [.05, .95]).round(3)


def gain_row(df, grams, over):
    "The score of grams and its gain over others, with the 90% interval of the gain from resampled sites."
    y = df[list(TARGETS)].to_numpy()
    low, high = interval(df, grams, over)
    score, gain = weighted_r2(y, grams), weighted_r2(y, grams) - weighted_r2(y, over)
    return dict(weighted_r2=round(score, 4), gain=round(gain, 4), low=low, high=high)


def one_seed(job, out, wanted):
    "Add the rows of a seed to the table in `out`."
    kept = job.folder/'grams.npz'
    job.folder.mkdir(parents=True, exist_ok=True)
    done = dict(np.load(kept)) if kept.exists() else {}
    table = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=['seed', 'predictor'])
    known = set(table.predictor[table.seed == job.seed])
    for name, make in progress(list(predictors(job, done)), f'predictors of seed {job.seed}'):
        if name in known and name in done or wanted and not any(o in name for o in wanted): continue
        start = time.time()
        done[name] = make()
        low, high = interval(job.df, done[name])
        row = dict(seed=job.seed, predictor=name, photos=len(job.df),
                   weighted_r2=round(weighted_r2(job.df[list(TARGETS)].to_numpy(), done[name]), 4), low=low,
                   high=high, seconds=round(time.time() - start, 1),
                   peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024)
        print(*row.values(), flush=True)
        if job.quick: continue
        np.savez(kept, **done)
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        table.to_csv(out, index=False)


def last_line(table):
    "The mean scores over seeds in one line."
    score = table.groupby('predictor').weighted_r2.mean()
    best = lambda *words: max((v for k, v in score.items() if any(w in k for w in words)), default=np.nan)
    parts = dict(colours=best('colour'), frozen=best(*FROZEN), **{'fine-tuned': best('preset pretrained')},
                 blend=best('blend'))
    return ', '.join(f'{k} {v:.3f}' for k, v in parts.items())


def photo_parser(doc, script, seeds=3):
    "A parser of the options of the benchmarks on real photos."
    warnings.filterwarnings('ignore', message='.*differs from the sum')
    p = parser(doc)
    p.add_argument('--data', required=True, help="folder with the competition's train.csv and photos")
    p.add_argument('--out', type=Path, default=Path(script).with_suffix('.csv'), help='the table')
    p.add_argument('--work', type=Path, default='real_photos_work', help='folder for runs and kept features')
    p.add_argument('--seeds', type=int, nargs='+', default=[*range(seeds)], help='seeds of the folds')
    p.add_argument('--threads', type=int, default=torch.get_num_threads(), help="PyTorch's")
    add_workers(p)
    return p


def parse(p):
    "The flags of a benchmark. From here on its tasks run where they say."
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    chosen_workers(o).__enter__()  # until the script ends
    return o


def main():
    p = photo_parser(__doc__, __file__)
    p.add_argument('--only', nargs='+', help='predictors with one of these words in their name')
    o = parse(p)
    for seed in o.seeds[:1] if o.quick else o.seeds:
        one_seed(Job(o.data, o.work/f'seed{seed}', seed, o.quick), o.out, o.only)
    if not o.quick: print(last_line(pd.read_csv(o.out)))


if __name__ == '__main__': sys.exit(main())
