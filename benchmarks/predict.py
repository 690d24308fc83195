"""Seconds of two predictions of the same photos with the same weights: the strategy's and `predict_run`'s

    python benchmarks/predict.py --out benchmarks/predict.csv  # which nbs/results.ipynb shows
    python benchmarks/predict.py --backbone vit_large_patch16_dinov3_qkvb --img_size 512  # with a GPU

The strategy's prediction (2.4 and 3.2 of the write-up) has a DataLoader for each of its eight views, whose processes open,
resize and turn every photo anew, and calls the backbone for each half. `predict_run` decodes each photo once, into a store that
is empty here, and calls the backbone once for both halves of a view.

Each side runs in a process of its own. "Whole" is everything from loading the weights to the grams. "Input" is the same without
a model: eight loaders there; filling the store, and reading it for each model, here. "Compute" is the same number of forward
passes on a batch that lies in memory: the limit that perfect input reaches. "Of ceiling" is the models' arithmetic, as PyTorch
counts it, in the whole time, against a large matrix product in the library's precision. CPU seconds are those of all cores and all
processes; with OMP_NUM_THREADS=1 they are worth something even on a machine that has other work.
"""
import time

import numpy as np
import timm  # noqa: F401, takes seconds, which are nobody's
import torch
import torchvision.transforms as T
from biomass_nb.callbacks import pick_precision
from biomass_nb.data import TARGETS
from biomass_nb.model_film import data_config, fold_norms, load_weights, start_heads
from biomass_nb.photos import PhotoStore, QuadratDataset, QuadratDL
from biomass_nb.runs import make_config, save_weights, start_run
from biomass_nb.train import load_fold, new_model, predict_batches
from biomass_nb.tta import AskViews, predict_run
from measure import DEVICE, Clock, Photos, TwoCalls, compare, draw_photos, drawn, forward_gflop, options, peak, product_speed
from torch.utils.data import DataLoader

MIRROR, FLIP = T.RandomHorizontalFlip(1.), T.RandomVerticalFlip(1.)
LEFT, RIGHT = (T.Lambda(lambda im, angle=angle: im.rotate(angle)) for angle in (90, 270))
VIEWS = (), (MIRROR,), (FLIP,), (MIRROR, FLIP), (LEFT,), (LEFT, MIRROR), (RIGHT,), (RIGHT, MIRROR)

def draw(o):
    "The photos, and a run folder of random models whose grams are on the scale of the photos'."
    draw_photos(o)
    cfg = make_config('baseline', backbone=o.backbone, img_size=o.img_size, bs=o.bs, n_folds=o.folds, precision=o.precision)
    run, targets = start_run(o.folder/'run', cfg), torch.tensor(drawn(o)[0][list(TARGETS)].to_numpy())
    for i in range(o.folds):
        torch.manual_seed(i)
        start_heads(model := new_model(cfg), targets)
        save_weights(model, run/f'fold{i}.safetensors', {})

def ask(models, left, right):
    "The strategy's mean over folds for one batch."
    left, right, preds = left.to(DEVICE), right.to(DEVICE), []
    for model in models:
        model.eval()
        with torch.no_grad(): preds.append(model(left, right).cpu().numpy())
    return np.mean(preds, 0)

def strategy(o):
    paths, stats = drawn(o)[1], data_config(o.backbone)
    tfms = [T.Compose([T.Resize((o.img_size, o.img_size)), *view, T.ToTensor(), T.Normalize(stats['mean'], stats['std'])]) for view in VIEWS]
    loaders = [DataLoader(Photos(paths, t, range(len(paths))), o.bs, num_workers=o.workers) for t in tfms]
    with Clock() as whole:
        models = [load_weights(TwoCalls(o.backbone, img_size=o.img_size), o.folder/f'run/fold{i}.safetensors').to(DEVICE) for i in range(o.folds)]
        grams = np.mean([np.concatenate([ask(models, left, right) for left, right, _ in loader]) for loader in loaders], 0)
    memory = peak(o.workers)
    with Clock() as reading:
        for loader in loaders:
            for batch in loader: pass
    with Clock() as alone:
        for _ in range(len(VIEWS)*len(loader)): ask(models, *batch[:2])
    return memory | seconds(whole, reading, alone) | dict(grams=grams.tolist())

class InMemory(list): device = DEVICE

def library(o):
    paths, run, views, stats = drawn(o)[1], o.folder/'run', AskViews('half_d4'), data_config(o.backbone)
    fresh = lambda: o.folder/f'store{time.time_ns()}'
    with Clock() as whole: grams = predict_run(run, paths, views.name, store=fresh())
    memory = peak()
    with Clock() as reading:
        store = PhotoStore(o.img_size, fresh())
        dl = QuadratDL(QuadratDataset(store, store.add(paths)), o.bs, stats['mean'], stats['std'], device=DEVICE)
        for _ in range(o.folds):
            for batch in dl.new(): pass
    precision, models = pick_precision(o.precision, DEVICE), [fold_norms(load_fold(run, i), *(x[:1].cpu() for x in batch[:2])) for i in range(o.folds)]
    with Clock() as alone:
        for model in models: list(predict_batches(model, InMemory([batch]*len(dl)), precision, views))
    return memory | seconds(whole, reading, alone) | dict(grams=grams.tolist(), exact=precision == 'fp32', gflop=forward_gflop(model, *batch[:2]), tflop_s=product_speed(precision))

def seconds(whole, reading, alone): return {f'{k}_{kind}': getattr(clock, kind) for k, clock in dict(whole=whole, input=reading, alone=alone).items() for kind in ('wall', 'cpu')}

def check(o, strategy, library):
    "Both gave grams for all photos, the photos' grams differ, and the sides' agree to 1e-4 g in full precision."
    exact, (a, b) = library.pop('exact'), (np.array(r.pop('grams')) for r in (strategy, library))
    library['difference'], library['spread'] = np.abs(a - b).max(), np.ptp(a, 0).max()
    assert a.shape == b.shape == (o.photos, 5) and np.isfinite([a, b]).all(), 'grams are lacking'
    assert not exact or library['difference'] < 1e-4*min(1, 100*library['spread']), f"the sides differ by {library['difference']:.2g} g"

def rate(o, r): return dict(photos_s=o.photos/r['whole_wall'], compute_photos_s=o.photos/r['alone_wall'])

def show(o, s, l):
    print(f"{'':10}{'whole':>9}{'input':>9}{'compute':>9} s{'CPU s':>9}{'photos/s':>10}{'of ceiling':>12}{'peak MB':>9}{'a worker MB':>13}{'GPU MB':>8}")
    for name, r in (('strategy', s), ('library', l)):
        speed = o.photos/r['whole_wall']
        share = speed*len(VIEWS)*o.folds*l['gflop']/l['tflop_s']/1e3
        print(f"{name:10}{r['whole_wall']:9.2f}{r['input_wall']:9.2f}{r['alone_wall']:9.2f}  {r['whole_cpu']:9.2f}{speed:10.1f}{share:12.1%}{r['peak_mb']:9.0f}{r['worker_mb']:13.0f}{r['gpu_mb']:8.0f}")
    ratio = lambda kind: ', '.join(f"{k} {s[f'{key}_{kind}']/l[f'{key}_{kind}']:.2f}x" for k, key in (('whole', 'whole'), ('input', 'input'), ('compute', 'alone')))
    print(f"faster by the clock: {ratio('wall')}; with input for nothing {s['whole_wall']/l['alone_wall']:.2f}x")
    print(f"less CPU time:       {ratio('cpu')}")
    print(f"largest difference {l['difference']:.1e} g, where photos differ by up to {l['spread']:.1e} g; {l['gflop']:.2f} GFLOP a quadrat and view, ceiling {l['tflop_s']:.2f} TFLOP/s")

if __name__ == '__main__':
    p = options(__doc__, img_size=128, photos=48)
    p.add_argument('--folds', type=int, default=2, help='models of the run')
    compare(p.parse_args(), check, show, rate, draw=draw, strategy=strategy, library=library)
