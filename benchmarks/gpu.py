"""What one GPU does in eight minutes: speed, memory and precision of a large ViT, folds of a small network.

    python benchmarks/gpu.py --out gpu.csv                  # needs no weights and no network
    python benchmarks/gpu.py --out gpu.csv --data DIR       # and trains on the real photos in DIR
    python benchmarks/gpu.py --quick                        # a tiny network on any machine, as a trial

Each row is written as soon as it is measured, the most important ones first. What does not fit into --minutes
is left out. "Photos a second" is the best of two rounds with a batch in memory, so nothing waits for input. A
batch has 8 photos in training and 16 in prediction. The engine `compile` is what the library takes by itself
on a GPU, `torch` is PyTorch without compiled blocks.
"Of ceiling" is the arithmetic of the model, as PyTorch counts it (training: three forward passes), over the
speed of a large matrix product in the same precision. Prediction shows each photo in eight views. "Waiting"
is the share of a training epoch in which the network waits for photos from the store. A setting that does
not fit into the memory of the GPU is told as such.
"""
import gc
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from biomass_nb.callbacks import HalfPrecision
from biomass_nb.config import make_config
from biomass_nb.engine import compile_blocks
from biomass_nb.learner import biomass_learner
from biomass_nb.model_film import start_heads
from biomass_nb.run import Run, build_model, predict_batches
from biomass_nb.train import train_folds
from biomass_nb.views import AskViews
from fastai.data.core import DataLoaders
from measure import DEVICE, Clock, draw_photos, forward_gflop, parser, product_speed
from train_loop import InMemory, library

VIT, SMALL = 'vit_large_patch16_dinov3_qkvb', 'tf_efficientnet_lite0'
GRAMS = torch.tensor([[20., 5., 2., 22., 27.], [60., 20., 0., 60., 80.]])


class Memory:
    "GB at the peak of a `with` block, on the GPU."
    def __enter__(self):
        if DEVICE.type == 'cuda': torch.cuda.empty_cache(); torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_):
        self.gb = torch.cuda.max_memory_allocated()/2**30 if DEVICE.type == 'cuda' else float('nan')


def batch(o, bs, size):
    "A batch of noise in memory: left, right, grams."
    left, right = torch.randn(2, bs, 3, size, size, device=DEVICE).contiguous()
    return left, right, GRAMS.repeat(bs, 1)[:bs].to(DEVICE)


def best(f, photos):
    "Photos a second in the best of two rounds, after one that warms up."
    times = []
    for _ in range(3):
        with Clock() as clock: f()
        times.append(clock.wall)
    return photos/min(times[1:])


def train(o, size, precision, engine, checkpointing=False):
    "Training steps on a batch in memory."
    cfg = make_config('gold', backbone=o.vit, img_size=size, bs=o.bs, mix=0., precision=precision, epochs=4,
                      grad_checkpointing=checkpointing)
    batches = InMemory([batch(o, o.bs, size)]*o.steps)
    with DEVICE: learn = biomass_learner(DataLoaders(batches, device=DEVICE), cfg)
    gflop = 3*forward_gflop(learn.model.to(DEVICE), *batches[0][:2])
    if engine == 'compile': compile_blocks(learn.model)
    cbs = [HalfPrecision(precision)] if precision != 'fp32' else []
    with Memory() as memory, learn.no_bar(), learn.no_logging():
        rate = best(lambda: learn.fit(1, cbs=cbs), o.bs*o.steps)
    return dict(photos_s=rate, of_ceiling=rate*gflop/o.ceiling[precision]/1e3, gpu_gb=memory.gb)


def untrained(o, size):
    "A model of the preset `gold` for prediction, with random weights."
    with DEVICE: return build_model(make_config('gold', backbone=o.vit, img_size=size)).eval()


def predict(o, size, precision, engine):
    "Prediction with eight views of a batch in memory."
    model, question = untrained(o, size).to(DEVICE), AskViews('d4')
    left, right, _ = batch(o, 2*o.bs, size)
    gflop = forward_gflop(model, left, right)*len(question.views)
    if engine == 'compile': compile_blocks(model)
    batches = InMemory([(left, right)]*(o.steps//2))
    with Memory() as memory:
        rate = best(lambda: list(predict_batches(model, batches, question, precision)), o.bs*2*len(batches))
    return dict(photos_s=rate, of_ceiling=rate*gflop/o.ceiling[precision]/1e3, gpu_gb=memory.gb)


def waiting(o, size, precision):
    "Training of a fold on drawn photos, input included."
    if not (o.folder/'train.csv').exists(): draw_photos(o)
    setting = dict(backbone=o.vit, img_size=size, precision=precision, epochs=3, epoch_photos=o.bs*o.steps,
                   grad_checkpointing=False)
    row = library(SimpleNamespace(**{**vars(o), **setting}))
    return dict(photos_s=row['loop'], compute_photos_s=row['alone'], waiting=row['loop_waiting'])


def agreement(o, size, precision):
    "How far grams in 16 bits are from those in 32 bits."
    torch.manual_seed(0)
    model = untrained(o, size).cpu()
    start_heads(model, GRAMS.numpy())
    compile_blocks(model)
    batches = InMemory([batch(o, o.bs, size)])
    half, full = (np.concatenate([*predict_batches(model, batches, AskViews('d4'), p)], 1)
                  for p in (precision, 'fp32'))
    return dict(difference_g=float(np.abs(half - full).max()))


def folds(o, **changes):
    "Five folds of the preset `pretrained` at 448 px on real photos, and how far fp16 is from fp32 in grams."
    cfg = make_config('pretrained', backbone=o.small, **dict(img_size=448) | changes)
    run = Run(o.folder/'folds', o.folder)
    with Clock() as clock: summary = train_folds(o.data, run, cfg, verbose=False)
    photos = run.training_photos(o.data).path[:16]
    dl, question = run.loader(run.decoded.add(photos)), AskViews('flip3')
    ask = lambda member, p: np.concatenate([*predict_batches(run.model(member), dl, question, p)], 1)
    half, full = (np.stack([ask(m, p) for m in run.finished])
                  for p in ('fp16' if DEVICE.type == 'cuda' else 'bf16', 'fp32'))
    return dict(seconds=clock.wall, weighted_r2=summary['weighted_r2'],
                difference_g=float(np.abs(half - full).max()))


def plan(o):
    "(what is measured, function, its settings), the most important ones first."
    (small, large), fp16 = o.sizes, 'fp16' if DEVICE.type == 'cuda' else 'bf16'
    for engine in ('compile', 'torch'):
        for name, f in (('prediction', predict), ('training', train)):
            yield name, f, dict(size=small, precision='bf16', engine=engine)
    yield 'fp16 and fp32', agreement, dict(size=small, precision=fp16)
    if o.data: yield 'five folds', folds, dict(o.folds)
    for name, f in (('prediction', predict), ('training', train)):
        yield name, f, dict(size=small, precision='fp16', engine='compile')
    checkpointed = dict(precision='bf16', engine='compile', checkpointing=True)
    yield 'training', train, dict(size=small, **checkpointed)
    yield 'training', train, dict(size=large, **checkpointed)
    for name, f in (('training', train), ('prediction', predict)):
        yield name, f, dict(size=large, precision='bf16', engine='compile')
    yield 'training with input', waiting, dict(size=small, precision='bf16')
    for name, f in (('prediction', predict), ('training', train)):
        yield name, f, dict(size=small, precision='fp16', engine='torch')
    for name, f in (('training', train), ('prediction', predict)):
        yield name, f, dict(size=large, precision='bf16', engine='torch')


def measure(f, o, settings):
    "A row: what `f` measures, or why it does not."
    start = time.time()
    torch.compiler.reset()  # it keeps few versions of a block
    gc.collect()  # a learner and its callbacks hold each other
    try: row = f(o, **settings)
    except torch.cuda.OutOfMemoryError: row = dict(note='does not fit into the memory of the GPU')
    except Exception as e: row = dict(note=f'{type(e).__name__}: {e}'[:200])  # the others are still measured
    return row | dict(took_s=time.time() - start)


def main():
    p = parser(__doc__)
    p.add_argument('--data', type=Path, help="folder with the competition's train.csv and photos")
    p.add_argument('--minutes', type=float, default=8, help='what begins later is left out')
    p.add_argument('--out', type=Path, help='csv file to write')
    o = p.parse_args()
    start, rows = time.time(), []
    o.vit, o.small, o.sizes, o.folds = VIT, SMALL, (512, 1024), {}
    o.bs, o.steps, o.photos, o.workers = 8, 4, 48, 0
    if o.quick:
        o.vit, o.sizes, o.bs, o.steps, o.photos = 'test_vit', (64, 128), 4, 2, 8
        o.folds = dict(img_size=64, epochs=2, variants=1, n_folds=2)
    half = ('fp16', 'bf16') if DEVICE.type == 'cuda' else ('bf16',)
    o.ceiling = {k: product_speed(k) for k in half}
    device = torch.cuda.get_device_name() if DEVICE.type == 'cuda' else 'no GPU'
    print(f'{device}, PyTorch {torch.__version__}, matrix products of '
          f'{", ".join(f"{v:.1f} TFLOP/s in {k}" for k, v in o.ceiling.items())}', flush=True)
    with TemporaryDirectory() as folder:
        o.folder = Path(folder)
        for name, f, settings in plan(o):
            if settings.get('precision', 'bf16') not in o.ceiling: continue
            if time.time() - start > 60*o.minutes:
                print(f'{name} {settings}: left out, since {o.minutes:g} minutes are over')
                continue
            rows.append(dict(device=device, what=name, **settings, **measure(f, o, settings)))
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
            if o.out: pd.DataFrame(rows).to_csv(o.out, index=False, float_format='%.5g', lineterminator='\n')


if __name__ == '__main__': main()
