"""Heads on frozen features, scored on real labels.

    python benchmarks/real_labels.py --data DIR  # with the heads that the blend gains from
    python benchmarks/real_labels.py --data DIR --heads ridge kernel_ridge svr gp boosting kernel \\
        --out benchmarks/real_labels.csv

DIR holds train.csv, and for each backbone embeddings_NAME.npy with its ids, a line each, in
embeddings_NAME_ids.txt or, for all, embeddings_ids.txt. Photos are in folds of
`biomass_nb.data.assign_folds`, by (State, Sampling_Date), and photo by photo for comparison, one seed
after the other. Each head is fitted on four folds and predicts the fifth. It chooses its settings, and the
blend its weights, on folds of these four alone. So do the factors and the state classifier that correct the
blend as `biomass_nb.ensemble` does. The predictions of all five folds are pooled and scored once. Shown is
the mean over seeds and their standard deviation. With --out the score of each seed is kept;
nbs/results.ipynb shows them, beside those of peers.csv.
"""
import os
os.environ.setdefault('OMP_NUM_THREADS', '1')  # a process for each core instead
import argparse
import sys
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

from biomass_nb.data import TARGETS, DataError, assign_folds, groups_of, out_of_fold_means, read_train
from biomass_nb.ensemble import fit_scale, fit_states, postprocess
from biomass_nb.features.heads import REGRESSIONS, stack_of
from biomass_nb.losses import weighted_r2


RULES = {'blend, WA without dead': {'WA': {'Dry_Dead_g': 0}},
         'blend, NSW without clover': {'NSW': {'Dry_Clover_g': 0}}}


def read_features(folder, image_ids):
    "The features of photos by name, (N, F) float64. Raise a `DataError` for what cannot be learned from."
    res = {}
    for path in sorted(Path(folder).glob('embeddings_*.npy')):
        own, shared = path.with_name(f'{path.stem}_ids.txt'), path.with_name('embeddings_ids.txt')
        there = next((p for p in (own, shared) if p.is_file()), None)
        if there is None: raise DataError(f'{path}: no {own.name} or {shared.name} beside it')
        try: x = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError) as e: raise DataError(f'{path}: cannot be read ({e})') from e
        ids = [Path(line.strip()).stem for line in there.read_text().splitlines() if line.strip()]
        if x.ndim != 2 or x.dtype.kind not in 'fiu' or len(x) != len(ids) or len(set(ids)) < len(ids):
            raise DataError(f'{path}: an array of {x.dtype} of shape {x.shape} for {len(set(ids))} ids in '
                            f'{there.name}; a photo has one row of numbers and one id')
        x = pd.DataFrame(x, ids).reindex(image_ids).to_numpy(float)
        if len(sick := np.flatnonzero(~np.isfinite(x).all(1))):
            raise DataError(f'{path}: {len(sick)} of {len(x)} photos have no features, or some that are not '
                            f'finite numbers, the first {list(image_ids)[sick[0]]}')
        if constant := (np.ptp(x, 0) == 0).sum():
            warnings.warn(f'{path}: {constant} of {x.shape[1]} columns are the same for all photos')
        res[path.stem.removeprefix('embeddings_')] = x
    if res: return res
    raise DataError(f'{folder}: has no embeddings_NAME.npy; extract features first')


def predict_fold(X, widths, y, groups, states, held_out, heads):
    "Grams of the held-out photos by each head and by the blend, as it comes and corrected."
    warnings.simplefilter('ignore', ConvergenceWarning)
    model = stack_of(widths, heads).fit(X[~held_out], y[~held_out], groups=groups[~held_out])
    res = dict(**model.each(X[held_out]), blend=model.predict(X[held_out]))
    res['blend, scaled'] = postprocess(res['blend'], scale=fit_scale(y[~held_out], model.oof_))[0]
    rules = {name: rule for name, rule in RULES.items() if set(rule) < set(states)}
    if not rules: return res
    seen = fit_states(X[~held_out], states[~held_out])
    probs = pd.DataFrame(seen.predict_proba(X[held_out]), columns=seen.classes_)
    probs = probs.reindex(columns=sorted(set(states)), fill_value=0.)
    for name, rule in rules.items(): res[name] = postprocess(res['blend'], states=probs, rules=rule)[0]
    return res


def scores(df, X, widths, args, leaky):
    "Pooled scores: a row for each predictor, a column for each seed."
    y, states, res = df[list(TARGETS)].to_numpy(), df.State.to_numpy(), {}
    folded = {seed: assign_folds(df, args.folds, seed, leaky) for seed in range(args.seeds)}
    groups = np.arange(len(df)) if leaky else groups_of(df).to_numpy()
    jobs = {(seed, k): (folded[seed].fold == k).to_numpy() for seed, k in product(folded, range(args.folds))}
    done = Parallel(args.jobs)(delayed(predict_fold)(X, widths, y, groups, states, held_out, args.heads)
                               for held_out in jobs.values())
    for seed, df_seed in folded.items():
        preds = {'zeros': 0*y, 'means': out_of_fold_means(df_seed),
                 'means of the states': out_of_fold_means(df_seed, by_state=True),
                 **{name: np.zeros_like(y) for name in done[0]}}
        for ((s, _), held_out), parts in zip(jobs.items(), done):
            for name, p in parts.items() if s == seed else (): preds[name][held_out] = p
        res[seed] = {name: weighted_r2(y, p) for name, p in preds.items()}
    return pd.DataFrame(res)


def write(tables, path):
    "Keep the score of each seed and predictor."
    rows = pd.concat([t.rename_axis('predictor').reset_index().assign(folds=name)
                      .melt(['predictor', 'folds'], var_name='seed', value_name='weighted_r2')
                      for name, t in tables.items()])
    rows = rows[['seed', 'folds', 'predictor', 'weighted_r2']]
    rows.to_csv(path, index=False, float_format='%.4f', lineterminator='\n')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', required=True, type=Path, help='folder with train.csv')
    p.add_argument('--features', type=Path, help='folder with the features, if another')
    p.add_argument('--heads', nargs='+', default=['ridge', 'kernel_ridge', 'kernel'], choices=REGRESSIONS)
    p.add_argument('--folds', type=int, default=5)
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--jobs', type=int, default=os.cpu_count())
    p.add_argument('--out', type=Path, help='csv file for the scores, a row for each seed and predictor')
    args = p.parse_args()
    warnings.formatwarning = lambda message, *_: f'warning: {message}\n'
    start = time.time()
    df = read_train(args.data)
    features = read_features(args.features or args.data, df.image_id)
    widths = {name: x.shape[1] for name, x in features.items()}
    X, about = np.hstack(list(features.values())), ', '.join(f'{k} ({n} wide)' for k, n in widths.items())
    print(f'{len(df)} photos; features {about}; {args.folds} folds x {args.seeds} seeds', flush=True)
    tables = {name: scores(df, X, widths, args, leaky)
              for name, leaky in {'grouped': False, 'by photo': True}.items()}
    if args.out: write(tables, args.out)
    stats = dict(mean={}, std=dict(ddof=0))
    shown = pd.DataFrame({(name, k): getattr(t, k)(axis=1, **kwargs)
                          for name, t in tables.items() for k, kwargs in stats.items()})
    print(f'\npooled out-of-fold weighted R2\n{shown.round(3).to_string()}\n\n{time.time() - start:.0f} s')


if __name__ == '__main__':
    try: main()
    except DataError as e: sys.exit(f'error: {e}')
