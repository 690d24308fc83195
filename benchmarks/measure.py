"""What the benchmarks share: drawn photos and trained runs, results that grow seed by seed, and races.

`by_seed` fills the files of ablation.py, coverage.py, pseudo.py and steps.py, which score trainings, and
`seed_table` and `mean_interval` read them. `race` compares the speed of the strategy's code and of the
library's, for predict.py and train_loop.py. Each script has --quick, which shows that it works.
"""
import os
import resource
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from functools import partial
from multiprocessing import get_context, get_start_method, set_start_method
from pathlib import Path

import pandas as pd
import torch
from biomass_nb.callbacks import peak_memory
from biomass_nb.config import make_config
from biomass_nb.core import pick_precision
from biomass_nb.data import TARGETS, find_photos, read_test, read_train
from biomass_nb.losses import weighted_r2
from biomass_nb.model_film import BiomassModel
from biomass_nb.run import Run
from biomass_nb.synth import write_quadrats
from biomass_nb.train import train_folds
from biomass_nb.workers import Workers, run_tasks
from PIL import Image
from torch.utils.data import Dataset

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def parser(doc):
    "A parser of the options that every benchmark has."
    p = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    p.add_argument('--quick', action='store_true', help='a tiny setting, to see that the script works')
    return p


# --- Drawn photos and runs

class Drawn:
    "Drawn quadrats in a folder, with the grams of the test photos, which are of other sites."
    def __init__(self, folder, *numbers, **more):
        self.data = write_quadrats(folder, *numbers, **more)
        self.test = read_test(self.data)
        self.photos = find_photos(self.test, self.data)
        truth = read_train(self.data/'test_labels.csv').set_index('image_id')
        self.truth = truth.loc[self.test.image_id, list(TARGETS)].to_numpy()

    def score(self, grams):
        "Weighted R2 of (N, 5) grams predicted for the test photos."
        return weighted_r2(self.truth, grams)


def trained(data, path, **changes):
    "A run of the preset `demo` with changes. Its store lies beside it, so that runs share decoded photos."
    run = Run(path, Path(path).parent/'store')
    train_folds(data, run, make_config('demo', **changes), verbose=False)
    return run


def part_of(data, image_ids, folder):
    "A folder with all photos of `data`, as hard links or copies, and a train.csv of some."
    rows = pd.read_csv(Path(data)/'train.csv', dtype=str, keep_default_na=False)
    for name in rows.image_path.unique():
        there = Path(folder, name)
        there.parent.mkdir(parents=True, exist_ok=True)
        if there.exists(): continue
        try: os.link(Path(data, name).resolve(), there)
        except OSError: shutil.copy(Path(data, name), there)  # on another disk
    rows = rows[rows.image_path.map(lambda o: Path(o).stem).isin(set(image_ids))]
    rows.to_csv(folder/'train.csv', index=False)
    return folder


# --- Results that grow seed by seed

def add_workers(p):
    "Add the flags that say where tasks run, as the commands have them, to a parser."
    for o in fields(Workers):
        p.add_argument(f'--{o.name}', type=o.type, default=o.default, help=o.metadata['help'])


def chosen_workers(o):
    "The `Workers` of parsed flags."
    return Workers(**{f.name: getattr(o, f.name) for f in fields(Workers)})


def by_seed(doc, one_seed, columns, **quick):
    """Add the rows that `one_seed(seed, folder)` yields to the csv file beside the script, seed after seed.

    Seeds that are in the file are not computed again. --quick calls `one_seed` once with the arguments
    `quick` and keeps nothing.
    """
    p = parser(doc)
    p.add_argument('--seeds', type=int, default=6, help='how many')
    p.add_argument('--threads', type=int, default=torch.get_num_threads(), help="PyTorch's, of a task")
    add_workers(p)
    o = p.parse_args()
    path = None if o.quick else Path(sys.argv[0]).resolve().with_suffix('.csv')
    if path and not path.exists(): path.write_text(','.join(columns) + '\n')
    done = set(pd.read_csv(path).seed) if path else ()
    seeds = [seed for seed in range(1 if o.quick else o.seeds) if seed not in done]
    task = partial(rows_of_seed, one_seed, columns, quick if o.quick else {}, path, o.threads)
    with chosen_workers(o): run_tasks(task, seeds, needs=[path.parent] if path else ())


def rows_of_seed(one_seed, columns, settings, path, threads, seed):
    "Print the rows of a seed, and add them to the csv file `path`, if there is one."
    torch.set_num_threads(threads)
    rows, names = [], [c for c in columns if c != 'seed']
    with tempfile.TemporaryDirectory() as folder:
        for row in one_seed(seed, Path(folder), **settings):
            rows.append(dict(zip(names, row), seed=seed))
            print(seed, *(f'{v:.4f}' if isinstance(v, float) else v for v in row), sep=', ', flush=True)
    table = pd.DataFrame(rows, columns=columns).round(4)
    if path: table.to_csv(path, mode='a', header=False, index=False, lineterminator='\n')


def seed_table(rows, *by, value='weighted_r2'):
    "A row for each value of the columns `by`, in the order of the file, and a column for each seed."
    return rows.groupby([*by, 'seed'], sort=False)[value].mean().unstack()


def mean_interval(table):
    "The mean of each row of a `seed_table`, and the 95% interval of that mean by Student's t."
    from scipy.stats import t
    half = t.ppf(.975, table.shape[1] - 1)*table.sem(axis=1)
    mean = table.mean(axis=1)
    return pd.DataFrame(dict(mean=mean, low=mean - half, high=mean + half))


def clear(table):
    "The names of the rows of a `mean_interval` whose interval excludes zero."
    return list(table.index[(table.low > 0) | (table.high < 0)])


# --- The strategy's way

class Photos(Dataset):
    "Opens, cuts and transforms a photo each time it is asked for."
    def __init__(self, paths, tfms, rest): self.paths, self.tfms, self.rest = paths, tfms, rest
    def __len__(self): return len(self.paths)

    def __getitem__(self, i):
        im = Image.open(self.paths[i]).convert('RGB')
        w, h = im.size
        left, right = im.crop((0, 0, w//2, h)), im.crop((w//2, 0, w, h))
        return self.tfms(left), self.tfms(right), self.rest[i]


class TwoCalls(BiomassModel):
    "Calls the backbone for each half."
    def features(self, left, right): return self.backbone(left), self.backbone(right)


# --- What is measured of speed

class Clock:
    "Seconds of a `with` block: on the clock, and of all cores by this process and its ended workers."
    def __enter__(self):
        self.start, self.cpu_start = time.perf_counter(), sum(os.times()[:4])
        return self

    def __exit__(self, *_):
        if DEVICE.type == 'cuda': torch.cuda.synchronize()
        self.wall, self.cpu = time.perf_counter() - self.start, sum(os.times()[:4]) - self.cpu_start


def peak(workers=0):
    "Peak MB of this process, and of its largest worker together with the pages that both share."
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/2**10 if workers else 0
    return dict(gpu_mb=0) | peak_memory() | dict(worker_mb=round(worker))


def forward_gflop(model, left, right):
    "GFLOP of one forward pass for one quadrat, as PyTorch counts them."
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter, torch.no_grad(): model.eval()(left[:1], right[:1])
    return counter.get_total_flops()/1e9


def product_speed(precision):
    "TFLOP/s of the best of ten large matrix products."
    dtype = dict(fp32=torch.float32, fp16=torch.float16, bf16=torch.bfloat16)[precision]
    n = 8192 if DEVICE.type == 'cuda' else 2048 if precision == 'fp32' else 256  # slow on most CPUs
    a, seconds = torch.randn(n, n, device=DEVICE, dtype=dtype), []
    for _ in range(10):
        start = time.perf_counter()
        (a@a).sum().item()  # waits for the GPU
        seconds.append(time.perf_counter() - start)
    return 2*n**3/min(seconds)/1e12


# --- A race of two sides

SETTING = 'machine', 'backbone', 'img_size', 'bs'


def race_parser(doc, img_size):
    "A parser of the options of a race."
    p = parser(doc)
    p.add_argument('--backbone', default='test_efficientnet', help='a model of timm')
    p.add_argument('--img_size', type=int, default=img_size, help='side of a half in pixels')
    p.add_argument('--bs', type=int, default=8, help='quadrats in a batch')
    p.add_argument('--photos', type=int, default=48, help='JPEGs of 2000 x 1000 to draw, a multiple of --bs')
    p.add_argument('--workers', type=int, default=os.cpu_count(), help="processes of the strategy's loader")
    p.add_argument('--precision', default='auto', help="the library's: fp32, fp16, bf16, or the card's best")
    p.add_argument('--repeats', type=int, default=3, help='runs of each side, in turn; the median counts')
    p.add_argument('--out', type=Path, help='csv file for the speeds of each run; its rows of other machines '
                   'and settings stay')
    return p


def draw_photos(o): write_quadrats(o.folder, o.photos, 8, min(20, o.photos), 8, size=(2000, 1000))


def drawn(o):
    "The table of the drawn photos and their paths."
    df = read_train(o.folder)
    return df, find_photos(df, o.folder)


def alone(f, o):
    "Call `f(o)` in a process of its own; what it returns, with the machine's load before it."
    load = os.getloadavg()[0]
    with ProcessPoolExecutor(1, get_context('spawn'), start_workers_by, (get_start_method(),)) as pool:
        return (pool.submit(f, o).result() or {}) | dict(load=round(load, 1))


def start_workers_by(method):
    "In a spawned process, which would spawn its workers too: start them as the system does."
    set_start_method(method, force=True)


def race(p, draw, sides, check, show, rate, **quick):
    """Draw photos once, run both sides in turn, check each pair of runs, and show the medians.

    `sides` are two functions of the options by name, such as strategy and library, that give a dict of
    numbers; `rate` gives those that are kept in --out. --quick puts `quick` in place of the defaults.
    """
    o = p.parse_args()
    if o.quick:
        p.set_defaults(**dict(photos=8, img_size=64, bs=4, repeats=1), **quick)
        o = p.parse_args()
    if o.photos % o.bs: p.error(f'--photos {o.photos} must be a multiple of --bs {o.bs}')
    runs, o.sides = [], list(sides)
    with tempfile.TemporaryDirectory() as folder:
        o.folder = Path(folder)
        alone(draw, o)
        for _ in range(o.repeats):
            runs.append([alone(side, o) for side in sides.values()])
            check(o, *runs[-1])
    show(o, *(pd.DataFrame([pair[i] for pair in runs]).median() for i in range(2)))
    loads = [r['load'] for pair in runs for r in pair]
    print(f'{machine()}, load average {min(loads)} to {max(loads)}; medians of {o.repeats}')
    if o.out: keep(o, runs, rate)


def machine():
    gpu = torch.cuda.get_device_name() if DEVICE.type == 'cuda' else 'no GPU'
    return f'{os.cpu_count()} cores, {gpu}'


def keep(o, runs, rate):
    "Write a row for each run and side to --out, in place of those of the same machine and setting."
    backbone = f'{o.backbone}, {o.frozen} stages in common' if getattr(o, 'frozen', 0) else o.backbone
    setting = dict(zip(SETTING, (machine(), backbone, o.img_size, o.bs)))
    precisions = {side: 'fp32' if side == 'strategy' else pick_precision(o.precision, DEVICE)
                  for side in o.sides}
    table = pd.DataFrame([
        dict(setting, run=i, side=side, precision=precision, **rate(o, r),
             **{k: r[k] for k in ('peak_mb', 'gpu_mb', 'load')})
        for i, pair in enumerate(runs) for (side, precision), r in zip(precisions.items(), pair)])
    if o.out.exists():
        old = pd.read_csv(o.out)
        others = (old[list(SETTING)] != pd.Series(setting)).any(axis=1)
        table = pd.concat([old[others], table])
    table.to_csv(o.out, index=False, float_format='%.5g', lineterminator='\n')
