"""What the benchmarks share: the strategy's photos and model, parts in processes of their own, what is measured of them, and results that grow seed by seed"""
import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from biomass_nb.callbacks import pick_precision
from biomass_nb.data import find_photos, read_train
from biomass_nb.model_film import BiomassModel
from biomass_nb.synth import write_quadrats
from PIL import Image
from torch.utils.data import Dataset

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')

class Photos(Dataset):
    "The strategy's: opens, cuts and transforms a photo each time it is asked for."
    def __init__(self, paths, tfms, rest): self.paths, self.tfms, self.rest = paths, tfms, rest
    def __len__(self): return len(self.paths)
    def __getitem__(self, i):
        im = Image.open(self.paths[i]).convert('RGB')
        w, h = im.size
        return self.tfms(im.crop((0, 0, w//2, h))), self.tfms(im.crop((w//2, 0, w, h))), self.rest[i]

class TwoCalls(BiomassModel):
    "The strategy's: the backbone is called for each half."
    def features(self, left, right): return self.backbone(left), self.backbone(right)

# --- what is measured

class Clock:
    "Seconds of a `with` block: by the clock, and of all cores by this process and its workers that have ended."
    def __enter__(self):
        self.start, self.cpu_start = time.perf_counter(), sum(os.times()[:4])
        return self
    def __exit__(self, *_):
        if DEVICE.type == 'cuda': torch.cuda.synchronize()
        self.wall, self.cpu = time.perf_counter() - self.start, sum(os.times()[:4]) - self.cpu_start

def peak(workers=0):
    "Peak MB of this process and of its largest worker, whose count includes the pages it shares with this process."
    mb = lambda who: resource.getrusage(who).ru_maxrss/2**10
    return dict(peak_mb=mb(resource.RUSAGE_SELF), worker_mb=mb(resource.RUSAGE_CHILDREN) if workers else 0.,
                gpu_mb=torch.cuda.max_memory_allocated()/2**20 if DEVICE.type == 'cuda' else 0.)

def forward_gflop(model, left, right):
    "GFLOP of one forward pass for one quadrat, as PyTorch counts them."
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter, torch.no_grad(): model.eval()(left[:1], right[:1])
    return counter.get_total_flops()/1e9

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

# --- results that grow

def by_seed(doc, results, columns, one_seed):
    "Add what `one_seed(seed, folder)` yields to a csv file, seed after seed; seeds that are there are not computed again."
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', type=int, default=6)
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if not results.exists(): results.write_text(columns + '\n')
    done = {r['seed'] for r in csv.DictReader(results.open())}
    for seed in range(args.seeds):
        if str(seed) in done: continue
        with tempfile.TemporaryDirectory() as tmp: rows = [[seed, *(f'{v:.4f}' if isinstance(v, float) else v for v in row)] for row in one_seed(seed, Path(tmp))]
        with results.open('a', newline='') as f: csv.writer(f, lineterminator='\n').writerows(rows)
        for row in rows: print(*row, sep=', ', flush=True)

# --- the comparison

def options(doc, img_size, photos):
    "The parser of what both benchmarks can be told."
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--backbone', default='test_efficientnet', help='a model of timm')
    p.add_argument('--img_size', type=int, default=img_size, help='side of a half, pixels')
    p.add_argument('--bs', type=int, default=8, help='quadrats in a batch')
    p.add_argument('--photos', type=int, default=photos, help='JPEGs of 2000 x 1000 to draw; a multiple of --bs')
    p.add_argument('--workers', type=int, default=os.cpu_count(), help="processes of the strategy's DataLoader")
    p.add_argument('--precision', default='auto', help="the library's: fp32, fp16, bf16; auto takes the card's best")
    p.add_argument('--repeats', type=int, default=3, help='runs of each side, in turn; the median counts')
    p.add_argument('--json', type=Path, help='file for the results')
    p.add_argument('--out', type=Path, help='csv file for the speeds of each run; rows of other machines and settings in it stay')
    p.add_argument('--part', help=argparse.SUPPRESS)  # what a process of its own is to do,
    p.add_argument('--folder', type=Path, help=argparse.SUPPRESS)  # and where
    return p

def draw_photos(o): write_quadrats(o.folder, o.photos, 8, min(20, o.photos), 8, size=(2000, 1000))

def drawn(o):
    "The table of the drawn photos and their paths."
    df = read_train(o.folder)
    return df, find_photos(df, o.folder)

def in_process(part, folder):
    "Run `part` of the benchmark in a process of its own; returns what it found, and the machine's load before it."
    load = os.getloadavg()[0]
    subprocess.run([sys.executable, *sys.argv, '--part', part, '--folder', folder], check=True)
    return (json.loads((Path(folder)/f'{part}.json').read_text()) or {}) | dict(load=load)

def machine(): return f"{os.cpu_count()} cores, {torch.cuda.get_device_name() if DEVICE.type == 'cuda' else 'no GPU'}"

SETTING = 'machine', 'backbone', 'img_size', 'bs'

def keep(o, runs, rate):
    "Write a row for each run and side to `--out`, in place of those of the same machine and setting."
    setting = dict(zip(SETTING, (machine(), o.backbone, str(o.img_size), str(o.bs))))
    with_precision = dict(strategy='fp32', library=pick_precision(o.precision, DEVICE))
    new = [setting | dict(run=i, side=side, precision=precision, **{k: f'{v:.5g}' for k, v in rate(o, r).items()}, peak_mb=f"{r['peak_mb']:.0f}", gpu_mb=f"{r['gpu_mb']:.0f}", load=f"{r['load']:.1f}")
           for i, pair in enumerate(runs) for (side, precision), r in zip(with_precision.items(), pair)]
    old = list(csv.DictReader(o.out.open(newline=''))) if o.out.exists() else []
    with o.out.open('w', newline='') as f:
        w = csv.DictWriter(f, list(new[0]), lineterminator='\n')
        w.writeheader()
        w.writerows([r for r in old if any(r[k] != v for k, v in setting.items())] + new)

def compare(o, check, show, rate, **parts):
    "Draw once, run both sides in turn, check each pair of runs, show the medians; `rate` gives the speeds that are kept."
    if o.part: return (o.folder/f'{o.part}.json').write_text(json.dumps(parts[o.part](o)))
    if o.photos % o.bs: raise SystemExit(f'--photos {o.photos} must be a multiple of --bs {o.bs}')
    sides, runs = ('strategy', 'library'), []
    with tempfile.TemporaryDirectory() as data:
        in_process('draw', data)
        for _ in range(o.repeats):
            runs.append([in_process(side, data) for side in sides])
            check(o, *runs[-1])
    mid = [{k: statistics.median(r[i][k] for r in runs) for k in runs[0][i]} for i in range(2)]
    show(o, *mid)
    loads = [r['load'] for pair in runs for r in pair]
    print(f'{DEVICE.type}, {os.cpu_count()} cores, load average {min(loads):.1f} to {max(loads):.1f}; medians of {o.repeats}')
    if o.out: keep(o, runs, rate)
    if o.json: o.json.write_text(json.dumps(dict(options={k: str(v) for k, v in vars(o).items()}, device=DEVICE.type, cores=os.cpu_count(), torch=torch.__version__, median=dict(zip(sides, mid)), runs=[dict(zip(sides, r)) for r in runs]), indent=1) + '\n')
