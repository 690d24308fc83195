"""Photos per second of two training loops on the same photos: the strategy's and `train_fold`'s

    python benchmarks/train_loop.py
    python benchmarks/train_loop.py --backbone vit_large_patch16_dinov3_qkvb --img_size 512  # with a GPU

The strategy's loop (2.2 and 2.3 of the write-up) opens and resizes the JPEG of every photo in every epoch in a
DataLoader's processes and calls the backbone for each half; `train_fold` reads resized halves from its store, prepares
batches ahead in threads and calls the backbone once. Both get the same photos, image size, batch size and model.

Each loop runs in a process of its own. Counted are the training parts of all epochs but the first: no validation, no
filling of the store (its seconds are printed). "Waiting" is the time from the end of a step until the next batch is
there. "Compute alone" is the same loop fed with one batch that lies in memory: the limit that a perfect loader reaches.
"Of ceiling" is the model's arithmetic (forward counted by PyTorch, times 3 for training) against a large matrix product
in the precision in which the library trains.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from biomass_nb.callbacks import HalfPrecision, Timing, pick_precision
from biomass_nb.data import COMPONENTS, find_photos, read_train
from biomass_nb.model_film import BiomassModel, data_config
from biomass_nb.photos import PhotoStore
from biomass_nb.runs import make_config, start_run
from biomass_nb.synth import write_quadrats
from biomass_nb.train import biomass_learner, train_fold
from fastai.data.core import DataLoaders
from PIL import Image
from torch.utils.data import DataLoader, Dataset

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')

def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--backbone', default='test_efficientnet', help='a model of timm')
    p.add_argument('--img_size', type=int, default=160, help='side of a half, pixels')
    p.add_argument('--bs', type=int, default=8, help='quadrats in a batch')
    p.add_argument('--photos', type=int, default=48, help='JPEGs of 2000 x 1000 to draw')
    p.add_argument('--epoch_photos', type=int, default=192, help='photos trained on per epoch; those drawn come again (285 in the competition)')
    p.add_argument('--epochs', type=int, default=4, help='the first is not counted')
    p.add_argument('--workers', type=int, default=os.cpu_count(), help="processes of the strategy's DataLoader")
    p.add_argument('--precision', default='auto', help="the library's: fp32, fp16, bf16; auto takes the card's best")
    p.add_argument('--grad_checkpointing', action='store_true', help="the library's recipe for 16 GB")
    p.add_argument('--repeats', type=int, default=1, help='runs of each loop, in turn; the median counts')
    p.add_argument('--json', type=Path, help='file for the results')
    p.add_argument('--part', help=argparse.SUPPRESS)  # what a process of its own is to do,
    p.add_argument('--folder', type=Path, help=argparse.SUPPRESS)  # and where
    return p.parse_args()

def draw(o):
    write_quadrats(o.folder, o.photos, 8, min(20, o.photos), 8, size=(2000, 1000))

def photo_table(o):
    "The photos of an epoch, fold 1, and two for validation, fold 0: `train_fold` prepares ahead while it validates, and long validation would hide that."
    df = read_train(o.folder)
    n = o.epoch_photos//o.bs*o.bs
    return df.iloc[[i % len(df) for i in range(n + 2)]].reset_index(drop=True).assign(fold=[1]*n + [0]*2)

# --- the strategy's loop

class Photos(Dataset):
    "Opens, cuts, resizes and augments a photo each time it is asked for."
    def __init__(self, paths, grams, img_size, mean, std):
        import torchvision.transforms as T
        self.paths, self.grams = paths, torch.tensor(grams, dtype=torch.float32)
        self.tfms = T.Compose([T.Resize((img_size, img_size)), T.RandomHorizontalFlip(), T.RandomVerticalFlip(), T.ColorJitter(.2, .2, .2), T.ToTensor(), T.Normalize(mean, std)])

    def __len__(self): return len(self.paths)

    def __getitem__(self, i):
        im = Image.open(self.paths[i]).convert('RGB')
        w, h = im.size
        return self.tfms(im.crop((0, 0, w//2, h))), self.tfms(im.crop((w//2, 0, w, h))), self.grams[i]

class TwoCalls(BiomassModel):
    "The backbone is called for each half."
    def features(self, left, right): return self.backbone(left), self.backbone(right)

def strategy_epoch(model, opt, batches):
    "Train on `batches`; returns the seconds and how many of them were spent waiting."
    start = mark = time.perf_counter()
    waited = losses = 0.
    for batch in batches:
        waited += time.perf_counter() - mark
        left, right, grams = (x.to(DEVICE) for x in batch)
        opt.zero_grad()
        loss = F.mse_loss(model(left, right)[:, :3], grams)
        loss.backward()
        opt.step()
        losses += loss.item()
        mark = time.perf_counter()
    return time.perf_counter() - start, waited

def strategy(o):
    df, stats = photo_table(o).query('fold == 1'), data_config(o.backbone)
    ds = Photos(find_photos(df, o.folder), df[list(COMPONENTS)].to_numpy(), o.img_size, stats['mean'], stats['std'])
    loader = DataLoader(ds, o.bs, shuffle=True, num_workers=o.workers)
    model = TwoCalls(o.backbone, img_size=o.img_size).to(DEVICE).train()
    heads = [p for name, p in model.named_parameters() if not name.startswith('backbone.')]
    opt = torch.optim.AdamW([dict(params=model.backbone.parameters(), lr=1e-5), dict(params=heads, lr=1e-4)], weight_decay=1e-4)
    epochs = [strategy_epoch(model, opt, loader) for _ in range(o.epochs)]
    res = rates(epochs, len(df)) | peak(o.workers)
    batch = next(iter(loader))
    alone = [strategy_epoch(model, opt, [batch]*len(loader)) for _ in range(3)]
    return res | dict(alone=rates(alone, len(df))['photos_s'])

# --- the library's loop

def library(o):
    df, store = photo_table(o), PhotoStore(o.img_size, o.folder/'store')
    start = time.perf_counter()
    df['key'] = store.add(find_photos(df, o.folder))
    filled = time.perf_counter() - start
    cfg = make_config('baseline', backbone=o.backbone, img_size=o.img_size, bs=o.bs, epochs=o.epochs, precision=o.precision, grad_checkpointing=o.grad_checkpointing)
    run = start_run(o.folder/f'run{time.time_ns()}', cfg)
    learn, history = train_fold(df, store, 0, cfg, run, verbose=False), pd.read_csv(run/'fold0.csv')
    n, precision = int((df.fold == 1).sum()), pick_precision(cfg.precision, DEVICE)
    res = rates([(s, s*w) for s, w in zip(history.seconds, history.input_wait)], n) | peak() | dict(fill_s=filled)
    batch, timing = learn.dls.train.one_batch(), Timing()
    alone, seconds = biomass_learner(DataLoaders([batch]*(n//o.bs), device=DEVICE), cfg), []
    with alone.no_bar(), alone.no_logging():
        for _ in range(3):
            alone.fit(1, cbs=[timing] + ([HalfPrecision(precision)] if precision != 'fp32' else []))
            seconds.append((timing.row['seconds'], 0.))
    return res | dict(gflop=gflop(alone.model, batch), tflop_s=product_speed(precision), alone=rates(seconds, n)['photos_s'])

# --- what both are measured by

def rates(epochs, n):
    "Photos per second and share of waiting over the epochs after the first."
    seconds, waited = map(sum, zip(*epochs[1:]))
    return dict(photos_s=n*(len(epochs) - 1)/seconds, waiting=waited/seconds)

def peak(workers=0):
    "Peak MB of this process and of its largest worker, whose count includes the pages it shares with this process."
    mb = lambda who: resource.getrusage(who).ru_maxrss/2**10
    return dict(peak_mb=mb(resource.RUSAGE_SELF), worker_mb=mb(resource.RUSAGE_CHILDREN) if workers else 0.,
                gpu_mb=torch.cuda.max_memory_allocated()/2**20 if DEVICE.type == 'cuda' else 0.)

def gflop(model, batch):
    "GFLOP of training on one quadrat."
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter, torch.no_grad(): model.eval()(*(x[:1] for x in batch[:2]))
    return 3*counter.get_total_flops()/1e9

def product_speed(precision):
    "TFLOP/s of the best of ten large matrix products."
    dtype = dict(fp32=torch.float32, fp16=torch.float16, bf16=torch.bfloat16)[precision]
    n = 8192 if DEVICE.type == 'cuda' else 2048
    a, seconds = torch.randn(n, n, device=DEVICE, dtype=dtype), []
    for _ in range(10):
        start = time.perf_counter()
        (a@a).sum().item()  # waits for the GPU
        seconds.append(time.perf_counter() - start)
    return 2*n**3/min(seconds)/1e12

# --- the comparison

def in_process(part, folder):
    "Run `part` of this file in a process of its own; returns what it found."
    subprocess.run([sys.executable, __file__, *sys.argv[1:], '--part', part, '--folder', folder], check=True)
    return json.loads((Path(folder)/f'{part}.json').read_text())

def compare(o):
    runs = []
    with tempfile.TemporaryDirectory() as data:
        in_process('draw', data)
        for _ in range(o.repeats):
            runs.append({part: in_process(part, data) for part in ('strategy', 'library')})
    mid = {part: {k: statistics.median(r[part][k] for r in runs) for k in runs[0][part]} for part in runs[0]}
    return dict(options={k: str(v) for k, v in vars(o).items()}, device=DEVICE.type, cores=os.cpu_count(), torch=torch.__version__, median=mid, runs=runs)

def show(res):
    s, l = res['median']['strategy'], res['median']['library']
    print(f"{'loop':10}{'photos/s':>10}{'waiting':>9}{'compute alone':>15}{'of ceiling':>12}{'peak MB':>9}{'a worker MB':>13}{'GPU MB':>8}")
    for name, r in (('strategy', s), ('library', l)):
        share = r['photos_s']*l['gflop']/l['tflop_s']/1e3
        print(f"{name:10}{r['photos_s']:10.1f}{r['waiting']:9.1%}{r['alone']:15.1f}{share:12.1%}{r['peak_mb']:9.0f}{r['worker_mb']:13.0f}{r['gpu_mb']:8.0f}")
    print(f"library/strategy {l['photos_s']/s['photos_s']:.2f}x, compute alone {l['alone']/s['alone']:.2f}x; the store took {l['fill_s']:.1f} s to fill, once")
    print(f"{l['gflop']:.2f} GFLOP per quadrat trained on; ceiling {l['tflop_s']:.2f} TFLOP/s on {res['device']}, {res['cores']} cores")

if __name__ == '__main__':
    o = options()
    if o.part: (o.folder/f'{o.part}.json').write_text(json.dumps({'draw': draw, 'strategy': strategy, 'library': library}[o.part](o)))
    else:
        res = compare(o)
        if o.json: o.json.write_text(json.dumps(res, indent=1) + '\n')
        show(res)
