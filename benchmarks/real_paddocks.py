"""The mean of a real site by its photos, with and without cut quadrats: errors, coverage, and widths.

    python benchmarks/real_paddocks.py --data csiro-biomass --out benchmarks/real_paddocks.csv
    python benchmarks/real_paddocks.py --data csiro-biomass --features embeddings_NAME.npy

A site, a (State, Sampling_Date), stands for a paddock. Its photos are predicted out of fold, with folds by
site, by a kernel head on a frozen backbone: `tf_efficientnet_lite0` at 448 pixels, or the features of a file
as `biomass_embed` writes it, with the ids of its photos beside it. Then only the tables of --data are read.
The variances for a site come from the errors of the other sites. Of a site, the mean of its own quadrats is
known, and nothing of the rest of the paddock, so the intervals are those of this mean.

- Without cuts: means of all photos of a site, or of half of them, drawn ten times. `others` takes the errors
  of all other sites, `half of the others` those of a random half of them. `plain` is the mean prediction with
  its standard error.
- With cuts: 3, 5 or 10 quadrats of sites with at least 3 more are cut, drawn 20 times.
- With a rule: the quadrats are chosen by it instead. `spread` is over views, `unlike` by the distance of
  features. A file of features has no views.

Each site counts once. Sites of one photo have no plain interval. nbs/paddock/cuts.ipynb shows the rows.
"""
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from biomass_nb.data import TARGETS, assign_folds, groups_of, read_train
from biomass_nb.features.head_run import HeadRun, train_heads
from biomass_nb.features.heads import KernelHead, head_oof
from biomass_nb.paddock.cuts import cut_interval, stratified
from biomass_nb.paddock.means import mean_interval, site_errors
from real_photos import FROZEN, parse, photo_parser
from scipy.stats import t as student
from sklearn.neighbors import NearestNeighbors

ALL, TOTAL = 'all', 'Dry_Total_g'


# --- Out-of-fold predictions, with what rules of choice need

class Predicted:
    "The photos of a seed with out-of-fold grams; by site its rows, and what the errors of the others say."
    def __init__(self, df, preds, features, spread=None):
        self.y, self.preds = df[list(TARGETS)].to_numpy(), preds
        self.site, self.spread, self.fold = groups_of(df).to_numpy(), spread, df.fold.to_numpy()
        self.rows = {k: np.flatnonzero(self.site == k) for k in np.unique(self.site)}
        self.learned = {k: self.errors(np.flatnonzero(self.site != k)) for k in self.rows}
        self.far = self.distances((features - features.mean(0))/np.maximum(features.std(0), 1e-6))

    def errors(self, rows): return site_errors(self.y[rows], self.preds[rows], self.site[rows])

    def from_half(self, k, rng):
        "What a random half of the other sites says."
        others = rng.permutation([o for o in self.rows if o != k])
        return self.errors(np.concatenate([self.rows[o] for o in others[:len(others)//2]]))

    def distances(self, z):
        "The mean distance of each photo to its five nearest of the other folds."
        far = np.zeros(len(z))
        for fold in np.unique(self.fold):
            new = self.fold == fold
            far[new] = NearestNeighbors(n_neighbors=5).fit(z[~new]).kneighbors(z[new])[0].mean(1)
        return far


def from_photos(o, seed):
    "Predicted by a kernel head on a frozen backbone."
    run = HeadRun(o.work/f'paddocks{seed}', o.work/'store')
    train_heads(o.data, run, FROZEN[0], heads=['kernel'], n_folds=2 if o.quick else 5, seed=seed,
                img_size=64 if o.quick else 448, verbose=False)
    oof, columns = run.out_of_fold('flip3', o.data), lambda kind: [f'{kind}_{t}' for t in TARGETS]
    features = np.concatenate([f[0] for f in run.training_features().values()], 1)
    return Predicted(oof, oof[columns('pred')].to_numpy(), features, oof[columns('spread')[4]].to_numpy())


def from_features(o, seed):
    "Predicted by a kernel head on features from a file."
    df = assign_folds(read_train(o.data), 2 if o.quick else 5, seed)
    files = o.features.with_name(f'{o.features.stem}_ids.txt'), o.features.with_name('embeddings_ids.txt')
    ids = next(p for p in files if p.exists()).read_text().split()
    X = np.load(o.features)[[ids.index(i) for i in df.image_id]]
    return Predicted(df, head_oof(KernelHead(), X, df), X)


# --- Estimates of the mean of the quadrats of a site: (mean, low, high)

def plain(p):
    half = student.ppf(.95, len(p) - 1)*p.std(0, ddof=1)/len(p)**.5
    return p.mean(0), p.mean(0) - half, p.mean(0) + half


def around(mean, rest, free, k, n):
    "Student's interval from (k, 5) residuals of the cuts."
    half = student.ppf(.95, free)*np.sqrt((rest**2).sum(0)/free*(1/k - 1/n))
    return mean, np.maximum(mean - half, 0), mean + half


def ways(p, cut, w, errors):
    "(name, estimate) for each way to use the cuts."
    k, n, q = len(cut), len(p), p[cut]
    yield 'no cuts', mean_interval(p, errors, of=n)
    yield 'cuts alone', around(w.mean(0), w - w.mean(0), k - 1, k, n)
    yield 'difference', around(p.mean(0) + (w - q).mean(0), w - q - (w - q).mean(0), k - 1, k, n)
    r = w.mean(0)/np.maximum(q.mean(0), .1)
    yield 'ratio', around(r*p.mean(0), w - r*q, k - 1, k, n)
    if k > 3:
        slope = ((q - q.mean(0))*w).sum(0)/np.maximum(((q - q.mean(0))**2).sum(0), 1e-9)
        rest = w - w.mean(0) - slope*(q - q.mean(0))
        yield 'regression', around(w.mean(0) + slope*(p.mean(0) - q.mean(0)), rest, k - 2, k, n)
    yield 'corrected', cut_interval(p, cut, w, errors, of=n)


def rules(d, rows, k):
    "(name, rows to cut) for each rule of choice that can be followed."
    total = d.preds[rows, 4]
    yield 'heaviest', np.argsort(total)[-k:]
    if d.spread is not None: yield 'spread', np.argsort(d.spread[rows])[-k:]
    yield 'unlike', np.argsort(d.far[rows])[-k:]
    for seed in range(20): yield 'stratified', stratified(total, k, seed=seed)


# --- Rows of the table

def judged(estimate, true):
    "Squared error, whether covered, and width: (3, 5)."
    mean, low, high = estimate
    return np.stack([(mean - true)**2, (low <= true) & (true <= high), high - low])


def errors_rows(d, rng):
    "(facts, site, judgement) of means without cuts."
    for k, i in d.rows.items():
        true, halves = d.y[i].mean(0), [rng.permutation(i)[:len(i)//2] for _ in range(10*(len(i) > 3))]
        for photos, draws in ((ALL, [i]), ('half', halves)):
            for j in draws:
                if len(j) > 1: yield ('plain', photos, 0), k, judged(plain(d.preds[j]), true)
                for name, errors in (('others', d.learned[k]), ('half of the others', d.from_half(k, rng))):
                    yield (name, photos, 0), k, judged(mean_interval(d.preds[j], errors, of=len(i)), true)


def cuts_rows(d, rng):
    "(facts, site, judgement) of means with cuts."
    for number in (3, 5, 10):
        for k, i in d.rows.items():
            if len(i) < number + 3: continue
            p, y, errors = d.preds[i], d.y[i], d.learned[k]
            for cut in (rng.choice(len(i), number, replace=False) for _ in range(20)):
                for name, estimate in ways(p, cut, y[cut], errors):
                    yield (name, ALL, number), k, judged(estimate, y.mean(0))
            for name, cut in rules(d, i, number):
                estimate = cut_interval(p, cut, y[cut], errors, of=len(i))
                yield (f'corrected, {name}', ALL, number), k, judged(estimate, y.mean(0))


def table(d, seed):
    "A row for each way, number of photos and cuts, and target; each site counts once."
    rng, by_site = np.random.default_rng(seed), {}
    for facts, k, o in (*errors_rows(d, rng), *cuts_rows(d, rng)):
        by_site.setdefault(facts, {}).setdefault(k, []).append(o)
    for (way, photos, number), sites in by_site.items():
        square, covered, width = np.mean([np.mean(o, 0) for o in sites.values()], 0)
        facts = dict(seed=seed, way=way, photos=photos, cuts=number, sites=len(sites))
        alone = [(t, i) for i, t in enumerate(TARGETS) if not number or t == TOTAL]
        for target, j in ((ALL, slice(None)), *alone):
            yield dict(facts, target=target, error_g=np.mean(square[j])**.5, covered=np.mean(covered[j]),
                       width_g=np.mean(width[j]))


def main():
    p = photo_parser(__doc__, __file__)
    p.add_argument('--features', type=Path, help='embeddings_NAME.npy, in place of the photos')
    o = parse(p)
    name = o.features.stem.removeprefix('embeddings_') if o.features else FROZEN[0]
    rows, old = [], [pd.read_csv(o.out).query('predictor != @name')] if o.out.exists() else []
    for seed in o.seeds[:1] if o.quick else o.seeds:
        d = (from_features if o.features else from_photos)(o, seed)
        rows += [dict(predictor=name, **row) for row in table(d, seed)]
        new = pd.DataFrame(rows).round(4)
        print(new[(new.seed == seed) & (new.target == ALL)].to_string(), flush=True)
    if o.quick: return
    pd.concat([*old, new]).to_csv(o.out, index=False, lineterminator='\n')


if __name__ == '__main__': sys.exit(main())
