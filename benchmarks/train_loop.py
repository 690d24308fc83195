"""Photos per second of two training loops on the same photos: the strategy's and `train_fold`'s

    python benchmarks/train_loop.py --out benchmarks/train_loop.csv  # which nbs/results.ipynb shows
    python benchmarks/train_loop.py --backbone vit_large_patch16_dinov3_qkvb --img_size 512  # with a GPU

The strategy's loop (2.2 and 2.3 of the write-up) opens and resizes the JPEG of every photo in every epoch in a DataLoader's
processes and calls the backbone for each half; `train_fold` reads resized halves from its store, prepares batches ahead in
threads and calls the backbone once. Both get the same photos, image size, batch size and model.

Each side runs in a process of its own. Of each, the best epoch but the first counts: no validation, no filling of the store (its
seconds are printed). "Waiting" is the time from the end of a step until the next batch is there. "Compute" is the same loop fed
with one batch that lies in memory, as many epochs, the best again: the limit that perfect input reaches. "Of ceiling" is the
model's arithmetic (forward as PyTorch counts it, times 3) against a large matrix product in the library's precision.
"""
import tempfile

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from biomass_nb.callbacks import HalfPrecision, Timing, pick_precision
from biomass_nb.data import COMPONENTS, find_photos
from biomass_nb.model_film import data_config
from biomass_nb.photos import PhotoStore
from biomass_nb.runs import make_config, start_run
from biomass_nb.train import biomass_learner, train_fold
from fastai.data.core import DataLoaders
from measure import DEVICE, Clock, Photos, TwoCalls, compare, draw_photos, drawn, forward_gflop, options, peak, product_speed
from torch.utils.data import DataLoader

def photo_table(o):
    "The photos of an epoch, fold 1, and two for validation, fold 0: `train_fold` prepares ahead while it validates, and long validation would hide that."
    df, n = drawn(o)[0], o.epoch_photos//o.bs*o.bs
    return df.iloc[[i % len(df) for i in range(n + 2)]].reset_index(drop=True).assign(fold=[1]*n + [0]*2)

def strategy(o):
    df, stats = photo_table(o).query('fold == 1'), data_config(o.backbone)
    tfms = T.Compose([T.Resize((o.img_size, o.img_size)), T.RandomHorizontalFlip(), T.RandomVerticalFlip(), T.ColorJitter(.2, .2, .2), T.ToTensor(), T.Normalize(stats['mean'], stats['std'])])
    loader = DataLoader(Photos(find_photos(df, o.folder), tfms, torch.tensor(df[list(COMPONENTS)].to_numpy(), dtype=torch.float32)), o.bs, shuffle=True, num_workers=o.workers)
    model = TwoCalls(o.backbone, img_size=o.img_size).to(DEVICE).train()
    heads = [p for name, p in model.named_parameters() if not name.startswith('backbone.')]
    opt = torch.optim.AdamW([dict(params=model.backbone.parameters(), lr=1e-5), dict(params=heads, lr=1e-4)], weight_decay=1e-4)
    loop = [train(model, opt, loader) for _ in range(o.epochs)]
    res = rates(o, loop, 'loop') | peak(o.workers) | dict(losses=[r['loss'] for r in loop], steps=max(int(v['step']) for v in opt.state.values()))
    batch = next(iter(loader))
    return res | rates(o, [train(model, opt, [batch]*len(loader)) for _ in range(o.epochs)], 'alone')

def train(model, opt, batches):
    "One epoch of the strategy's: its seconds, the share of waiting, its mean loss."
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

def library(o):
    df, store = photo_table(o), PhotoStore(o.img_size, o.folder/'store')
    with Clock() as filling: df['key'] = store.add(find_photos(df, o.folder))
    cfg = make_config('baseline', backbone=o.backbone, img_size=o.img_size, bs=o.bs, epochs=o.epochs, precision=o.precision, grad_checkpointing=o.grad_checkpointing)
    run = start_run(tempfile.mkdtemp(dir=o.folder), cfg)
    learn, precision = train_fold(df, store, 0, cfg, run, verbose=False), pick_precision(cfg.precision, DEVICE)
    history = pd.read_csv(run/'fold0.csv')
    res = rates(o, history.to_dict('records'), 'loop') | peak() | dict(losses=history.train_loss.tolist(), steps=max(v['step'] for v in learn.opt.state.values()), fill_s=filling.wall)
    batch, timing, rows = learn.dls.train.one_batch(), Timing(), []
    alone = biomass_learner(DataLoaders([batch]*(o.epoch_photos//o.bs), device=DEVICE), cfg)
    with alone.no_bar(), alone.no_logging():
        for _ in range(o.epochs):
            alone.fit(1, cbs=[timing] + ([HalfPrecision(precision)] if precision != 'fp32' else []))
            rows.append(timing.row)
    return res | rates(o, rows, 'alone') | dict(gflop=3*forward_gflop(alone.model, *batch[:2]), tflop_s=product_speed(precision))

def rates(o, epochs, name):
    "Photos per second and share of waiting in the best epoch but the first, the one that other work on the machine disturbed least."
    row = min(epochs[1:], key=lambda r: r['seconds'])
    return {name: o.epoch_photos//o.bs*o.bs/row['seconds'], f'{name}_waiting': row['input_wait']}

def check(o, *sides):
    "Both made the steps that they were to make, with finite losses; a loop that is faster than its own limit was measured on a busy machine."
    for name, r in zip(('strategy', 'library'), sides):
        losses, steps = r.pop('losses'), r.pop('steps')
        assert len(losses) == o.epochs and np.isfinite(losses).all(), f'{name}: losses {losses}'
        assert steps == o.epochs*(o.epoch_photos//o.bs), f'{name}: {steps} steps'
        if r['loop'] > 1.05*r['alone']: print(f"{name}: {r['loop']:.1f} photos/s, but only {r['alone']:.1f} without input: the machine is busy, repeat this")

def rate(o, r): return dict(photos_s=r['loop'], compute_photos_s=r['alone'])

def show(o, s, l):
    print(f"{'photos/s':10}{'loop':>8}{'waiting':>9}{'compute':>9}{'of ceiling':>12}{'peak MB':>9}{'a worker MB':>13}{'GPU MB':>8}")
    for name, r in (('strategy', s), ('library', l)):
        print(f"{name:10}{r['loop']:8.1f}{r['loop_waiting']:9.1%}{r['alone']:9.1f}{r['loop']*l['gflop']/l['tflop_s']/1e3:12.1%}{r['peak_mb']:9.0f}{r['worker_mb']:13.0f}{r['gpu_mb']:8.0f}")
    print(f"{'faster':10}{l['loop']/s['loop']:7.2f}x{'':9}{l['alone']/s['alone']:8.2f}x; the store took {l['fill_s']:.1f} s to fill, once")
    print(f"{l['gflop']:.2f} GFLOP per quadrat trained on; ceiling {l['tflop_s']:.2f} TFLOP/s")

if __name__ == '__main__':
    p = options(__doc__, img_size=160, photos=48)
    p.add_argument('--epoch_photos', type=int, default=192, help='photos trained on per epoch; those drawn come again (285 in the competition)')
    p.add_argument('--epochs', type=int, default=4, help='the first is not counted')
    p.add_argument('--grad_checkpointing', action='store_true', help="the library's recipe for 16 GB")
    compare(p.parse_args(), check, show, rate, draw=draw_photos, strategy=strategy, library=library)
