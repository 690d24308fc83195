"""Seconds from a phone's photo to its grams, by part, for the first photo of a new process and for the next.

    python benchmarks/phone.py --out benchmarks/phone.csv

The photo is a drawn quadrat of 4000 x 3000 pixels, JPEG of quality 92. The run has the network of the preset
`pretrained` with random weights: five folds that have their lower stages in common. PyTorch and ONNX Runtime
are asked, and ONNX Runtime also in a first process, which exports the graphs and keeps them. "Import" is from
the start of the process until the library is there. "Read" decodes, cuts and keeps the photo. "First answer"
loads the models and predicts one view. "Next photo" is another photo, read and predicted by the same process.
"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pandas as pd
from biomass_nb.config import make_config
from measure import machine, parser
from PIL import Image
from predict import draw

CODE = '''
import json, sys, time
start, run, engine, *photos = sys.argv[1:]
from biomass_nb.run import open_run
parts, mark = {'import': time.time() - float(start)}, time.time()
def part(name):
    global mark
    parts[name], mark = time.time() - mark, time.time()
run = open_run(run, store=sys.argv[2] + '_store', engine=engine)
run.decoded.add(photos[:1]); part('read')
run.predict(photos[:1], 'none'); part('first answer')
run.predict(photos[1:], 'none'); part('next photo')
print(json.dumps(parts))
'''


def phone_photo(drawn, path):
    "A drawn quadrat as large as a phone takes it, 3:4."
    im = Image.open(drawn).convert('RGB').resize((4000, 2000), Image.Resampling.LANCZOS)
    sheet = Image.new('RGB', (4000, 3000))
    for y in (0, 2000): sheet.paste(im, (0, y))
    noise = np.random.default_rng(0).normal(0, 3, (3000, 4000, 3))  # of a sensor
    Image.fromarray((np.asarray(sheet) + noise).clip(0, 255).astype(np.uint8)).save(path, quality=92)


def main():
    p = parser(__doc__)
    p.add_argument('--out', type=Path, help='csv file to write')
    p.add_argument('--repeats', type=int, default=5, help='new processes; the median counts')
    o = p.parse_args()
    cfg, rows = make_config('pretrained'), []
    with TemporaryDirectory() as tmp:
        setting = SimpleNamespace(
            folder=Path(tmp), photos=8, backbone=cfg.backbone, bs=cfg.bs, folds=cfg.n_folds,
            img_size=64 if o.quick else cfg.img_size, precision='fp32', frozen=cfg.frozen)
        draw(setting)
        drawn = sorted(Path(tmp).glob('train/*.jpg'))
        photos = [f'{tmp}/phone{i}.jpg' for i in range(2)]
        for one, path in zip(drawn, photos): phone_photo(one, path)
        os.environ['BIOMASS_NB_CACHE'] = f'{tmp}/cache'  # no graph is kept yet
        repeats = 1 if o.quick else o.repeats
        cases = [('onnx', 'exports graphs'), *repeats*[('torch', 'no graphs'), ('onnx', 'graphs are kept')]]
        for i, (engine, graphs) in enumerate(cases):
            run = Path(tmp)/f'run{i}'  # whose photos are in no store
            run.symlink_to(Path(tmp)/'run')
            words = [sys.executable, '-W', 'ignore', '-c', CODE, str(time.time()), str(run), engine, *photos]
            parts = json.loads(subprocess.check_output(words, text=True))
            rows.append(dict(engine=engine, graphs=graphs, machine=machine(), **parts))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table['first photo'] = table[['import', 'read', 'first answer']].sum(axis=1)
    print(table.groupby(['engine', 'graphs'])[['first photo', 'next photo']].median().round(2))
    if o.out: table.to_csv(o.out, index=False, float_format='%.3f', lineterminator='\n')


if __name__ == '__main__': main()
