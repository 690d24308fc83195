"""Does a teacher that knows more than the photo help a student, or hold it back?

    python benchmarks/teacher.py --data csiro-biomass --out benchmarks/teacher.csv

The strategy's first attempt (sections 1.1 and 5.1) stopped at 0.50. It distilled a teacher into a network
with a frozen backbone. The teacher saw what only training photos have: NDVI, height, species and state.
The strategy says that the teacher's score was the student's ceiling. Here the teacher is a forest of extra
trees on these columns. The student is a head on frozen features. It learns from (1 - weight) x labels +
weight x the teacher's grams. Under a squared error this target gives the same student as two losses with
these weights (Hinton et al. 2015, Lopez-Paz et al. 2016). The teacher predicts each training photo from
models that have not seen its site. All scores are out of fold, by (State, Sampling_Date).

The features are the embeddings_NAME.npy in DIR if there are any, otherwise those of the installed
`tf_efficientnet_lite0` at 448 pixels. Rows are added to --out, in place of those of the same data.
"""
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from biomass_nb.core import progress
from biomass_nb.data import TARGETS, assign_folds, find_photos, groups_of, read_train
from biomass_nb.features.embed import extract
from biomass_nb.features.heads import KernelHead, as_grams, group_folds, ridge_head
from biomass_nb.losses import weighted_r2
from real_labels import read_features
from real_photos import parse, photo_parser
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

KNOWN = ['Pre_GSHH_NDVI', 'Height_Ave_cm'], ['Species', 'State']  # numbers, names
WEIGHTS = 0., .25, .5, .75, 1.
STUDENTS = dict(ridge=ridge_head, kernel=KernelHead)


def teacher():
    "A forest on the privileged columns."
    columns = make_column_transformer(('passthrough', KNOWN[0]),
                                      (OneHotEncoder(handle_unknown='ignore'), KNOWN[1]))
    return make_pipeline(columns, ExtraTreesRegressor(200, min_samples_leaf=3, random_state=0))


def taught(df, parts, groups):
    "(N, 3) grams by teachers that have not seen the site of the photo."
    return cross_val_predict(teacher(), df, parts, cv=group_folds(groups, 5))


def one_seed(df, features, seed, quick):
    "(teacher or student, weight of the teacher, score)"
    df = assign_folds(df, 5, seed)
    y, groups = df[list(TARGETS)].to_numpy(), groups_of(df).to_numpy()
    parts, tasks = y[:, :3], list(product(features, STUDENTS, WEIGHTS[::4] if quick else WEIGHTS))
    grams = {task: np.zeros_like(y) for task in ('teacher', *tasks)}
    for k in range(5):
        held_out = (df.fold == k).to_numpy()
        seen = df[~held_out]
        grams['teacher'][held_out] = as_grams(teacher().fit(seen, parts[~held_out]).predict(df[held_out]))
        guess = taught(seen, parts[~held_out], groups[~held_out])
        for name, head, weight in progress(tasks, f'students of fold {k} of seed {seed}'):
            X, mixed = features[name], (1 - weight)*parts[~held_out] + weight*guess
            student = STUDENTS[head]().fit(X[~held_out], as_grams(mixed), groups=groups[~held_out])
            grams[name, head, weight][held_out] = student.predict(X[held_out])
    yield 'teacher', '', weighted_r2(y, grams.pop('teacher'))
    for (name, head, weight), o in grams.items(): yield f'{head}, {name}', weight, weighted_r2(y, o)


def main():
    o = parse(photo_parser(__doc__, __file__))
    df = read_train(o.data)
    if list(Path(o.data).glob('embeddings_*.npy')): features = read_features(o.data, df.image_id)
    else:
        net = 'tf_efficientnet_lite0'
        features = {net: extract(find_photos(df, o.data), net, store=o.work/'store', img_size=448).mean()}
    rows = []
    for seed in o.seeds[:1] if o.quick else o.seeds:
        for who, weight, score in one_seed(df, features, seed, o.quick):
            row = dict(photos=len(df), seed=seed, predictor=who, weight=weight, weighted_r2=round(score, 4))
            rows.append(row)
            print(*rows[-1].values(), flush=True)
    if o.quick: return
    table = pd.DataFrame(rows)
    if o.out.exists():
        old = pd.read_csv(o.out)
        table = pd.concat([old[old.photos != len(df)], table])
    table.to_csv(o.out, index=False, lineterminator='\n')


if __name__ == '__main__': sys.exit(main())
