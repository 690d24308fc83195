"""Seconds of two predictions of the same photos with the same weights: the strategy's and the library's.

    python benchmarks/predict.py --out benchmarks/predict.csv  # which nbs/results.ipynb shows
    python benchmarks/predict.py --backbone vit_large_patch16_dinov3_qkvb --img_size 512  # with a GPU
    python benchmarks/predict.py --engines --backbone tf_efficientnet_lite0 --img_size 448 --photos 8 \\
        --folds 1 --repeats 5 --out benchmarks/engines.csv

The strategy's prediction (2.4 and 3.2 of the write-up) has a DataLoader for each of its eight views. The
processes of the loader open, resize and turn every photo anew, and the backbone is called for each half.
`Run.predict` decodes each photo once, into a store that is empty here, and calls the backbone once for both
halves of a view.

Each side runs in a process of its own. "Whole" is everything from loading the weights to the grams. "Input"
is the same without a model: eight loaders there; filling the store, and reading it for each model, here.
"Compute" is the same number of forward passes on a batch in memory, the limit that perfect input reaches. "Of
ceiling" is the speed of the models' arithmetic, as PyTorch counts it, in the whole time, over that of a large
matrix product in the library's precision. CPU seconds are those of all cores and processes. With
OMP_NUM_THREADS=1 they mean something even on a machine that has other work.

With --frozen the models of the run have their first stages in common, as those of the preset `pretrained`.
The library asks these once for all models.

With --engines both sides are the library's, on PyTorch and on ONNX Runtime. "Models" is making the models,
which is mostly the export for ONNX Runtime. It comes before "whole", which then finds the graphs kept.
"""
import os
from functools import partial
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import timm  # noqa: F401, so that neither side waits for it
import torch
import torchvision.transforms as T
from biomass_nb.batches import Batches, QuadratDataset
from biomass_nb.config import make_config
from biomass_nb.core import pick_precision
from biomass_nb.data import TARGETS
from biomass_nb.engine import pick_engine
from biomass_nb.model_film import data_config, load_weights, start_heads
from biomass_nb.photos import PhotoStore, photo_key
from biomass_nb.run import Run, build_model, predict_batches, save_weights
from biomass_nb.views import AskViews
from measure import DEVICE, Clock, Photos, TwoCalls, draw_photos, drawn, forward_gflop, peak, product_speed
from measure import race, race_parser
from torch.utils.data import DataLoader

MIRROR, FLIP = T.RandomHorizontalFlip(1.), T.RandomVerticalFlip(1.)
LEFT, RIGHT = (T.Lambda(lambda im, angle=angle: im.rotate(angle)) for angle in (90, 270))
VIEWS = (), (MIRROR,), (FLIP,), (MIRROR, FLIP), (LEFT,), (LEFT, MIRROR), (RIGHT,), (RIGHT, MIRROR)


def draw(o):
    "The photos, and a run of random models whose grams are on the scale of the photos'."
    draw_photos(o)
    df, photos = drawn(o)
    cfg = make_config('baseline', backbone=o.backbone, img_size=o.img_size, bs=o.bs, n_folds=o.folds,
                      precision=o.precision, frozen=o.frozen)
    run = Run(o.folder/'run').start(cfg, df.assign(fold=0, key=[photo_key(p) for p in photos]))
    base = build_model(cfg)
    for member in run.members:
        torch.manual_seed(member.fold)
        start_heads(model := build_model(cfg), df[list(TARGETS)].to_numpy())
        if o.frozen: model.backbone.load_state_dict(base.backbone.state_dict())  # as training leaves it
        save_weights(model, run/f'{member.name}.safetensors', {})


# --- The strategy's side

def ask(models, left, right):
    "The mean over folds for one batch."
    left, right, preds = left.to(DEVICE), right.to(DEVICE), []
    for model in models:
        model.eval()
        with torch.no_grad(): preds.append(model(left, right).cpu().numpy())
    return np.mean(preds, 0)


def loaders(o):
    "A loader for each view."
    paths, stats = drawn(o)[1], data_config(o.backbone)
    first, last = T.Resize((o.img_size, o.img_size)), (T.ToTensor(), T.Normalize(stats['mean'], stats['std']))
    for view in VIEWS:
        tfms = T.Compose([first, *view, *last])
        yield DataLoader(Photos(paths, tfms, range(len(paths))), o.bs, num_workers=o.workers)


def strategy(o):
    views = list(loaders(o))
    with Clock() as whole:
        models = [TwoCalls(o.backbone, img_size=o.img_size) for _ in range(o.folds)]
        for i, model in enumerate(models): load_weights(model, o.folder/f'run/fold{i}.safetensors').to(DEVICE)
        of_view = lambda loader: np.concatenate([ask(models, left, right) for left, right, _ in loader])
        grams = np.mean([of_view(loader) for loader in views], 0)
    memory = peak(o.workers)
    with Clock() as reading:
        for loader in views:
            for batch in loader: pass
    with Clock() as alone:
        for _ in range(len(views)*len(loader)): ask(models, *batch[:2])
    return memory | seconds(whole, reading, alone) | dict(grams=grams)


# --- The library's side

class InMemory(list): device = DEVICE


def library(o, engine='auto'):
    paths, question, precision = drawn(o)[1], AskViews('half_d4'), pick_precision(o.precision, DEVICE)
    os.environ['BIOMASS_NB_CACHE'] = mkdtemp(dir=o.folder)  # no graph is kept
    run = Run(o.folder/'run', mkdtemp(dir=o.folder), engine=engine)
    engine = pick_engine(engine, DEVICE, precision, len(VIEWS)*2*o.img_size**2, len(paths))
    model, shared = run._models(engine)
    with Clock() as making: models = [model(m) for m in run.finished]
    with Clock() as whole: grams = run.predict(paths, 'half_d4')
    memory = peak()
    with Clock() as reading:
        store = PhotoStore(o.img_size, mkdtemp(dir=o.folder))
        known = run.trained_on
        dl = Batches(QuadratDataset(store, store.add(paths)), o.bs, known['mean'], known['std'], DEVICE)
        for _ in range(o.folds):
            for batch in dl: pass
    with Clock() as alone:
        for model in models:
            if shared: shared.about('one batch')
            list(predict_batches(model, InMemory([batch]*len(dl)), question, precision))
    plain = run.model(run.finished[0]).to(DEVICE)
    return memory | seconds(whole, reading, alone) | dict(
        models_wall=making.wall, models_cpu=making.cpu, grams=grams, exact=precision == 'fp32',
        gflop=forward_gflop(plain, *batch[:2]), tflop_s=product_speed(precision))


# --- The comparison

def seconds(whole, reading, alone):
    clocks = dict(whole=whole, input=reading, alone=alone)
    return {f'{k}_{kind}': getattr(clock, kind) for k, clock in clocks.items() for kind in ('wall', 'cpu')}


def check(o, strategy, library):
    "Both gave grams for all photos, the photos' grams differ, and in full precision the sides agree."
    strategy.pop('exact', None)
    exact, (a, b) = library.pop('exact'), (r.pop('grams') for r in (strategy, library))
    library['difference'], library['spread'] = np.abs(a - b).max(), np.ptp(a, 0).max()
    assert a.shape == b.shape == (o.photos, 5) and np.isfinite([a, b]).all(), 'grams are lacking'
    assert not exact or library['difference'] < 1e-4*min(1, 100*library['spread']), \
        f"the sides differ by {library['difference']:.2g} g"


def rate(o, r):
    parts = dict(photos_s='whole', compute_photos_s='alone', input_photos_s='input')
    return {name: o.photos/r[f'{part}_wall'] for name, part in parts.items()}


def engine_rate(o, r):
    "Besides, what other work on the machine does not change: CPU seconds; and how far the grams are apart."
    cpu = dict(cpu_s=r['whole_cpu']/o.photos, compute_cpu_s=r['alone_cpu']/o.photos,
               models_cpu_s=r['models_cpu'])
    return rate(o, r) | cpu | dict(difference_g=r.get('difference', 0.))


def show(o, s, l):
    columns = {'whole_wall': 'whole, s', 'input_wall': 'input, s', 'alone_wall': 'compute, s',
               'whole_cpu': 'CPU, s', 'photos_s': 'photos/s', 'of_ceiling': 'of ceiling',
               'models_wall': 'models, s', 'peak_mb': 'peak MB', 'worker_mb': 'a worker MB',
               'gpu_mb': 'GPU MB'}
    table = pd.DataFrame(dict(zip(o.sides, (s, l)))).T
    table['photos_s'] = o.photos/table.whole_wall
    table['of_ceiling'] = table.photos_s*len(VIEWS)*o.folds*l.gflop/l.tflop_s/1e3
    print(table[[c for c in columns if c in table]].rename(columns=columns).round(3).to_string())
    times = {k: {name: s[f'{part}_{k}']/l[f'{part}_{k}'] for name, part in
                 dict(whole='whole', input='input', compute='alone').items()} for k in ('wall', 'cpu')}
    print(f'\nhow many times as long {o.sides[0]} takes', pd.DataFrame(times).T.round(2).to_string(),
          sep='\n')
    print(f'with input for nothing, {o.sides[1]} would be {s.whole_wall/l.alone_wall:.2f} times as fast')
    print(f'largest difference {l.difference:.1e} g, where photos differ by up to {l.spread:.1e} g; '
          f'{l.gflop:.2f} GFLOP a quadrat and view, ceiling {l.tflop_s:.2f} TFLOP/s')


if __name__ == '__main__':
    p = race_parser(__doc__, img_size=128)
    p.add_argument('--folds', type=int, default=2, help='models of the run')
    p.add_argument('--frozen', type=int, default=0, help='stages that all models of the run have in common')
    p.add_argument('--engines', action='store_true', help='race PyTorch against ONNX Runtime in the library')
    if p.parse_known_args()[0].engines:
        race(p, draw, {o: partial(library, engine=o) for o in ('torch', 'onnx')}, check, show, engine_rate)
    else: race(p, draw, dict(strategy=strategy, library=library), check, show, rate)
