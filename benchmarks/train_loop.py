"""Photos per second of two training loops on the same photos: the strategy's and `train_fold`'s.

    python benchmarks/train_loop.py --out benchmarks/train_loop.csv  # which nbs/results.ipynb shows
    python benchmarks/train_loop.py --backbone vit_large_patch16_dinov3_qkvb --img_size 512  # with a GPU

The strategy's loop (2.2 and 2.3 of the write-up) opens and resizes the JPEG of every photo in every epoch, in
the processes of a DataLoader, and calls the backbone for each half. `train_fold` reads resized halves from
its store, prepares batches ahead in threads and calls the backbone once. Both get the same photos, image
size, batch size and model.

Each side runs in a process of its own. The best epoch but the first counts, without validation and without
the filling of the store, whose seconds are printed. "Waiting" is the time from the end of a step until the
next batch is there. "Compute" is the same loop with one batch in memory, for as many epochs, of which the
best counts again: the limit that perfect input reaches. "Of ceiling" is the speed of the model's arithmetic
(forward as PyTorch counts it, times 3) over that of a large matrix product in the library's precision.
"""
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from biomass_nb.callbacks import HalfPrecision, Timing
from biomass_nb.config import make_config
from biomass_nb.core import pick_precision
from biomass_nb.data import COMPONENTS, find_photos, read_table
from biomass_nb.engine import compile_blocks, pick_engine
from biomass_nb.model_film import data_config
from biomass_nb.photos import PhotoStore
from biomass_nb.run import Run
from biomass_nb.train import biomass_learner, train_fold
from fastai.data.core import DataLoaders
from measure import DEVICE, Clock, Photos, TwoCalls, draw_photos, drawn, forward_gflop, peak, product_speed
from measure import race, race_parser
from torch.utils.data import DataLoader


def steps(o): return o.epoch_photos//o.bs  # of an epoch


def photo_table(o):
    """The photos of an epoch, fold 1, and two for validation, fold 0.

    `train_fold` prepares batches while it validates, and a long validation would hide that.
    """
    df, n = drawn(o)[0], steps(o)*o.bs
    return df.iloc[[i % len(df) for i in range(n + 2)]].reset_index(drop=True).assign(fold=[1]*n + [0]*2)


# --- The strategy's side

def loader(o):
    "The loader of the training photos."
    df, stats = photo_table(o).query('fold == 1'), data_config(o.backbone)
    tfms = T.Compose([
        T.Resize((o.img_size, o.img_size)), T.RandomHorizontalFlip(), T.RandomVerticalFlip(),
        T.ColorJitter(.2, .2, .2), T.ToTensor(), T.Normalize(stats['mean'], stats['std'])])
    grams = torch.tensor(df[list(COMPONENTS)].to_numpy(), dtype=torch.float32)
    photos = Photos(find_photos(df, o.folder), tfms, grams)
    return DataLoader(photos, o.bs, shuffle=True, num_workers=o.workers)


def train(model, opt, batches):
    "One epoch: its seconds, the share of waiting, its mean loss."
    timing, losses = Timing(), []
    timing.before_train()
    for batch in batches:
        timing.before_batch()
        left, right, grams = (x.to(DEVICE) for x in batch)
        opt.zero_grad()
        loss = F.mse_loss(model(left, right)[:, :3], grams)
        loss.backward()
        opt.step()
        losses.append(loss.item())
        timing.after_batch()
    timing.after_train()
    return timing.row | dict(loss=np.mean(losses))


def strategy(o):
    dl, model = loader(o), TwoCalls(o.backbone, img_size=o.img_size).to(DEVICE).train()
    heads = [p for name, p in model.named_parameters() if not name.startswith('backbone.')]
    groups = [dict(params=model.backbone.parameters(), lr=1e-5), dict(params=heads, lr=1e-4)]
    opt = torch.optim.AdamW(groups, weight_decay=1e-4)
    loop = [train(model, opt, dl) for _ in range(o.epochs)]
    made = max(int(v['step']) for v in opt.state.values())
    memory, batch = peak(o.workers), next(iter(dl))
    alone = [train(model, opt, [batch]*len(dl)) for _ in range(o.epochs)]
    return memory | rates(o, loop, 'loop') | rates(o, alone, 'alone') | dict(
        losses=[r['loss'] for r in loop], steps=made)


# --- The library's side

def library(o):
    df, home = photo_table(o), Path(mkdtemp(dir=o.folder))
    with Clock() as filling: df['key'] = PhotoStore(o.img_size, home).add(find_photos(df, o.folder))
    cfg = make_config('baseline', backbone=o.backbone, img_size=o.img_size, bs=o.bs, epochs=o.epochs,
                      precision=o.precision, grad_checkpointing=o.grad_checkpointing)
    run = Run(home/'run', home).start(cfg, df)
    learn = train_fold(df, run, 0, verbose=False)
    memory, history = peak(), read_table(run/'fold0.csv')
    batch = learn.dls.train.one_batch()
    alone = library_alone(o, cfg, batch)
    return memory | rates(o, history.to_dict('records'), 'loop') | rates(o, alone, 'alone') | dict(
        losses=history.train_loss.tolist(), steps=int(max(v['step'] for v in learn.opt.opt.state.values())),
        fill_s=filling.wall, gflop=3*forward_gflop(learn.model, *batch[:2]),
        tflop_s=product_speed(pick_precision(cfg.precision, DEVICE)))


class InMemory(list):
    "Batches as a loader; the callback that tells the epoch asks for its data set."
    dataset, device = SimpleNamespace(), DEVICE


def library_alone(o, cfg, batch):
    "The library's loop with a batch in memory: a row for each epoch."
    learn = biomass_learner(DataLoaders(InMemory([batch]*steps(o)), device=DEVICE), cfg)
    if pick_engine('auto', DEVICE, o.precision, 1e9) == 'compile': compile_blocks(learn.model)
    precision, timing, rows = pick_precision(cfg.precision, DEVICE), Timing(), []
    cbs = [timing] + ([HalfPrecision(precision)] if precision != 'fp32' else [])
    with learn.no_bar(), learn.no_logging():
        for _ in range(o.epochs):
            learn.fit(1, cbs=cbs)
            rows.append(timing.row)
    return rows


# --- The comparison

def rates(o, epochs, name):
    "Photos per second and share of waiting in the best epoch but the first, the least disturbed one."
    row = min(epochs[1:], key=lambda r: r['seconds'])
    return {name: steps(o)*o.bs/row['seconds'], f'{name}_waiting': row['input_wait']}


def check(o, *sides):
    "Both made all their steps with finite losses. Warn of a loop that is faster than its own limit."
    for name, r in zip(('strategy', 'library'), sides):
        losses, made = r.pop('losses'), r.pop('steps')
        assert len(losses) == o.epochs and np.isfinite(losses).all(), f'{name}: losses {losses}'
        assert made == o.epochs*steps(o), f'{name}: {made} steps'
        if r['loop'] > 1.05*r['alone']:
            print(f"{name}: {r['loop']:.1f} photos/s, but only {r['alone']:.1f} without input: "
                  'the machine is busy, repeat this')


def rate(o, r): return dict(photos_s=r['loop'], compute_photos_s=r['alone'])


def show(o, s, l):
    columns = {'loop': 'photos/s', 'loop_waiting': 'waiting', 'alone': 'compute', 'of_ceiling': 'of ceiling',
               'peak_mb': 'peak MB', 'worker_mb': 'a worker MB', 'gpu_mb': 'GPU MB'}
    table = pd.DataFrame(dict(strategy=s, library=l)).T
    table['of_ceiling'] = table.loop*l.gflop/l.tflop_s/1e3
    print(table[list(columns)].rename(columns=columns).round(3).to_string())
    print(f'\nthe library is {l.loop/s.loop:.2f} times as fast, {l.alone/s.alone:.2f} times in compute; '
          f'its store took {l.fill_s:.1f} s to fill, once')
    print(f'{l.gflop:.2f} GFLOP per quadrat trained on; ceiling {l.tflop_s:.2f} TFLOP/s')


if __name__ == '__main__':
    p = race_parser(__doc__, img_size=160)
    p.add_argument('--epoch_photos', type=int, default=192, help='photos trained on in an epoch; those drawn '
                   'come again (the competition has 285)')
    p.add_argument('--epochs', type=int, default=4, help='the first is not counted')
    p.add_argument('--grad_checkpointing', action='store_true', help="the library's recipe for 16 GB")
    sides = dict(strategy=strategy, library=library)
    race(p, draw_photos, sides, check, show, rate, epoch_photos=16, epochs=2)
