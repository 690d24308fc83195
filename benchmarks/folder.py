"""Memory and speed of `biomass_photos` on folders of photos of one's own, by the number of photos.

    python benchmarks/folder.py --out benchmarks/folder.csv
    python benchmarks/folder.py --on ray --out benchmarks/folder_ray.csv --photos 10000 100000 --killed 10000

The photos are small random crops of drawn quadrats, all different. The run is a small one. So the seconds say
how the time grows with the number of photos, not how long photos of a camera take. The peak is that of the
process and its threads (resident memory). On a Ray cluster, other processes see the photos, and the peak is
that of the process that hands them out. Disk is the most that the work folder held at a time. The last row
is one number again, killed after a third of its photos and resumed.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
from biomass_nb.data import find_photos, read_test
from biomass_nb.train import example_data, example_run
from PIL import Image


def make_photos(folder, n):
    "Different photos of 128 x 64 pixels, 500 to a folder. Those that exist are kept."
    data, rng = example_data(), np.random.default_rng(n)
    drawn = [Image.open(p).convert('RGB') for p in find_photos(read_test(data), data)]
    for i in range(n):
        path = folder/f'{i//500:03}/{i:06}.jpg'
        if path.exists(): continue
        path.parent.mkdir(parents=True, exist_ok=True)
        x, y = rng.integers(0, 128), rng.integers(0, 64)
        im = drawn[i % len(drawn)].crop((x, y, x + 128, y + 64))
        im.putpixel((0, 0), (i % 256, i//256, 0))  # no two are the same
        im.save(path, quality=90)


def command(o, folder, out):
    code = 'from biomass_nb.cli import biomass_photos; biomass_photos()'
    return [sys.executable, '-W', 'ignore', '-c', code, '--photos', folder, '--run', o.run, '--data',
            example_data(), '--out', out, '--tta', 'none', '--on', o.on]


def sizes(folder):
    "Bytes of the files below a folder that another process fills and empties."
    res = {}
    for here, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError): res[name] = os.path.getsize(os.path.join(here, name))
    return res


def run_command(args, out, stop=None):
    "Seconds, peak MB, most MB in the work folder; stopped by a kill when so many chunks are answered."
    start, disk = time.time(), 0
    p = subprocess.Popen([str(a) for a in args], stdout=subprocess.DEVNULL)
    while True:
        pid, status, used = os.wait4(p.pid, os.WNOHANG)
        if pid: break
        files = sizes(f'{out}.work')
        disk = max(disk, sum(files.values()))
        if stop and sum(name.endswith('.parquet') for name in files) >= stop: p.send_signal(signal.SIGKILL)
        time.sleep(.2)
    if status and not stop: raise SystemExit(f'the command ended with {status}')
    return time.time() - start, used.ru_maxrss/1024, disk/1e6


def measure(o, n):
    "One row."
    make_photos(folder := o.work/str(n), n)
    seconds, peak, disk = run_command(command(o, folder, o.work/f'{n}.csv'), o.work/f'{n}.csv')
    rows = len(pd.read_csv(o.work/f'{n}.csv'))
    assert rows == n, rows
    return dict(photos=n, seconds=seconds, photos_a_second=n/seconds, peak_mb=peak, disk_mb=disk)


def resumed(o, n):
    "A folder again: killed after a third, and the same table in the end."
    args = command(o, o.work/str(n), out := o.work/'again.csv')
    first = run_command(args, out, stop=max(1, n//1500))
    second = run_command(args, out)
    assert out.read_bytes() == (o.work/f'{n}.csv').read_bytes()
    return dict(photos=f'{n}, killed and resumed', seconds=first[0] + second[0],
                photos_a_second=n/(first[0] + second[0]), peak_mb=max(first[1], second[1]),
                disk_mb=max(first[2], second[2]))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--photos', type=int, nargs='+', default=[100, 1000, 10000])
    p.add_argument('--killed', type=int, help='photos of the run that is killed; default the largest number')
    p.add_argument('--on', default='local', help='local, or ray for a Ray cluster that is there')
    p.add_argument('--work', type=Path, help='folder for the photos; default a temporary one')
    p.add_argument('--out', help='csv file to write')
    o = p.parse_args()
    own, o.run = o.work is None, example_run().path
    if own: o.work = Path(mkdtemp())
    rows = []
    for n in o.photos:
        rows.append(measure(o, n))
        print(pd.DataFrame(rows[-1:]).round(1).to_string(index=False), flush=True)
    rows.append(resumed(o, o.killed or o.photos[-1]))
    table = pd.DataFrame(rows).round(1)
    print(table.to_string(index=False))
    if o.out: table.to_csv(o.out, index=False)
    if own: shutil.rmtree(o.work)


if __name__ == '__main__': main()
