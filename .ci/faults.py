"""Commands that are killed, interrupted, and met by a full disk, at random moments.

    python .ci/faults.py                             # a few moments for each command
    python .ci/faults.py --moments 20                # twenty for each command and fault
    python .ci/faults.py train report --moments 20   # of some commands

A moment is one of the command's accesses to files in its folder. So it needs no clock, and a failure can be
repeated. A kill at a file that is opened for writing comes after its first bytes. The full disk is a small
tmpfs with some bytes left; where none can be mounted, it is imitated. After each fault the same command runs
again and must leave what an unbroken run leaves. Each run is a fork of this process, which has imported the
library.
"""
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from argparse import ArgumentParser
from errno import ENOSPC
from fnmatch import fnmatch
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

TRAIN = 'train --preset demo --backbone test_vit --img_size 32 --epochs 2 --folds 2'
BEFORE = ['synth --train 10 --test 3 --sites 9 --test_sites 2 --width 64', f'{TRAIN} --out run',
          f'{TRAIN} --out other --keep last']
COMMANDS = dict(synth=f'{BEFORE[0]} --out drawn', train=f'{TRAIN} --out new', predict='predict --intervals',
                photos='photos --photos data/test --intervals --report',
                ensemble='ensemble --run run --run other', embed='embed --folds 2 --img_size 32',
                pseudo='pseudo --rounds 1', report='report --run run --run other', export='export --to torch',
                pack='pack --user me --run run --run other')
FAULTS = dict(kill=(-signal.SIGKILL, -signal.SIGXFSZ), interrupt=(130,), full=(1,))   # and their exit codes
EVENTS = ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.link', 'os.chmod', 'os.listdir')
# Files that are written several times, or removed in the end
PASSING = ('*.tmp', '*/.tmp*', '*.partial.safetensors', '*.resume.safetensors', '*/fold?.csv', '*.work/*')
CLOCK = ('seconds', 'peak_mb', 'gpu_mb', 'input_wait')   # what no two runs have in common
PRELOAD = ('albumentations', 'matplotlib.pyplot', 'networkx', 'timm', 'torch._dynamo', 'torch.export',
           'biomass_nb.cli', 'biomass_nb.demo', 'biomass_nb.kaggle.pack', 'biomass_nb.paddock.folder',
           'biomass_nb.pseudo', 'biomass_nb.share.export')
SIZE = 64   # MB of the tmpfs
APART = 'BIOMASS_NB_MOUNTS_APART'   # set in a process whose mounts are its own


class Moment:
    "An audit hook that counts accesses to files below the working folder, and brings a fault at one of them."
    def __init__(self, folder, fault=None, at=0, seed=0):
        self.folder, self.fault, self.at, self.seen, self.seed = f'{folder}/', fault, at, 0, seed

    def __call__(self, event, args):
        if event not in EVENTS or not isinstance(args[0], (str, os.PathLike)): return
        if not os.path.abspath(args[0]).startswith(self.folder): return
        self.seen += 1
        writes = event in ('os.mkdir', 'os.link') or event == 'open' and args[2] & (os.O_WRONLY | os.O_RDWR)
        if self.fault == 'full' and self.seen >= self.at and writes:
            raise OSError(ENOSPC, os.strerror(ENOSPC), args[0])
        if self.seen != self.at: return
        if self.fault == 'interrupt': os.kill(os.getpid(), signal.SIGINT)
        elif self.fault == 'kill' and not writes: os.kill(os.getpid(), signal.SIGKILL)
        elif self.fault == 'kill':   # in the middle of writing: the first byte beyond this size kills
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.seed % 4096, resource.RLIM_INFINITY))


def child(folder, line, moment, out, answer):
    "Run a command in this process."
    os.chdir(folder)
    os.environ |= dict(BIOMASS_NB_CACHE=f'{folder}/cache', TMPDIR=out)
    tempfile.tempdir = None
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for fd, name in ((1, 'stdout'), (2, 'stderr')): os.dup2(os.open(f'{out}/{name}', 0o1101, 0o600), fd)
    sys.stdout, sys.stderr = open(1, 'w', closefd=False), open(2, 'w', closefd=False)
    sys.addaudithook(moment)
    name, *words = line.split()
    try: getattr(import_module('biomass_nb.cli'), f'biomass_{name}')(*words)
    finally: answer.send(moment.seen)


class Place:
    "A folder to work in, on a small disk of its own if one can be mounted."
    def __init__(self, tmp):
        self.disk, self.out, self.base = (Path(tmp)/name for name in ('disk', 'out', 'base'))
        for o in (self.disk, self.out, self.base): o.mkdir()
        mount = ['mount', '-t', 'tmpfs', '-o', f'size={SIZE}m', 'tmpfs', self.disk]
        self.mounted = APART in os.environ and not subprocess.run(mount, capture_output=True).returncode
        self.work, self.ballast = self.disk/'work', self.disk/'ballast'

    def run(self, line, *fault):
        "Run a command: its exit code, what it said to stderr, accesses to files."
        here, there = get_context('fork').Pipe(duplex=False)
        moment = Moment(self.work, *fault)
        p = get_context('fork').Process(target=child, args=(self.work, line, moment, str(self.out), there))
        p.start()
        there.close()
        try: seen = here.recv()
        except EOFError: seen = 0
        p.join()
        return p.exitcode, (self.out/'stderr').read_text(), seen

    def reset(self):
        "The working folder as it is before a command; bytes that it takes."
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.base, self.work)
        return self.free()

    def free(self): return (o := os.statvfs(self.disk)).f_bavail*o.f_bsize

    def fill(self, left):
        "Fill the disk but for some bytes."
        with open(self.ballast, 'wb') as f: os.posix_fallocate(f.fileno(), 0, max(1, self.free() - left))


def without_clock(o):
    "JSON without what depends on the clock."
    if isinstance(o, dict): return {k: without_clock(v) for k, v in o.items() if k not in CLOCK}
    return o


def content(path):
    "What is in a file, comparable; a text if it is damaged."
    data = path.read_bytes()
    try:
        if path.suffix == '.json': data = json.dumps(without_clock(json.loads(data))).encode()
        if path.suffix == '.csv':
            import pandas as pd
            df = pd.read_csv(BytesIO(data), dtype=str)
            data = df[[c for c in df if c not in CLOCK]].to_csv().encode()
    except ValueError as e: return f'damaged: {e}'
    return sha256(data).hexdigest()


def tree(folder): return {str(o.relative_to(folder)): content(o) for o in folder.rglob('*') if o.is_file()}


def difference(there, wanted):
    "The first names in which two trees differ."
    return ', '.join(sorted(k for k in there | wanted if there.get(k) != wanted.get(k))[:5])


def half_written(there, before, wanted):
    "Files that are neither as before nor as in the end, and whose names do not say that they will change."
    for name, found in there.items():
        if any(fnmatch(name, o) for o in PASSING): continue
        if found not in (before.get(name), wanted.get(name)): yield name


def said_badly(fault, code, said, disk):
    "What is wrong with how a command ended."
    lines = [o for o in said.splitlines() if not o.startswith('warning: ')]
    if code not in FAULTS[fault]: return f'exit code {code}: {said[-2000:]}'
    if fault == 'kill': return ''
    if len(lines) != 1: return f'{len(lines)} lines: {said[-2000:]}'
    if fault == 'full' and f'the disk is full; make room in {disk}' not in said: return f'no disk: {said}'


def check(place, name, fault, moments, seed, wanted, growth, seen):
    "Problems of one command and one fault; an unbroken run gives the files that are wanted."
    real, before, missed = fault == 'full' and place.mounted, tree(place.base), 0
    rng = random.Random(f'{seed} {name} {fault}')
    for at in (rng.randrange(growth) if real else rng.randint(1, seen) for _ in range(moments)):
        where = f'{name}, {fault} at {at} of {growth if real else seen}'
        place.reset()
        if real: place.fill(at)
        code, said, _ = place.run(COMMANDS[name], *(() if real else (fault, at, rng.randrange(4096))))
        if real: place.ballast.unlink()
        there = tree(place.work)
        if not code and there == wanted: missed += 1
        elif bad := said_badly(fault, code, said, place.disk): yield f'{where}: {bad}'
        if half := ', '.join(half_written(there, before, wanted)): yield f'{where}: half-written: {half}'
        code, said, _ = place.run(COMMANDS[name])
        if code: yield f'{where}: the same command again ends with {code}: {said[-2000:]}'
        elif other := difference(tree(place.work), wanted): yield f'{where}: then differ {other}'
    print(f'{name}, {fault}: {moments} moments, {missed} after the end', flush=True)


def check_command(place, name, faults, moments, seed):
    "Problems of one command."
    free = place.reset()
    code, said, seen = place.run(COMMANDS[name])
    if code: raise SystemExit(f'{name}: fails without a fault: {said}')
    facts = tree(place.work), free - place.free(), seen
    for fault in faults: yield from check(place, name, fault, moments, seed, *facts)


def small():
    "A model that is traced at once."
    import torch
    class Small(torch.nn.Module):
        def __init__(self): super().__init__(); self.weight = torch.nn.Parameter(torch.ones(100_000))
        def forward(self, left, right): return (left.float() + right.float()).mean((1, 2, 3))*self.weight[0]
    return Small()


def prepare(place):
    "Fill the folder that commands begin with; spare pictures and traces, which take long and touch no file."
    place.reset()
    for line in BEFORE:
        code, said, _ = place.run(line)
        if code: raise SystemExit(f'{line}: {said}')
    shutil.rmtree(place.base)
    shutil.copytree(place.work, place.base)
    export, page = (sys.modules[f'biomass_nb.{o}'] for o in ('share.export', 'report.page'))
    page.picture = lambda section: section.alt
    export._check_file, trace = lambda *_: None, export._traced
    export._traced = lambda model, size: trace(small(), size)
    print('a real full disk' if place.mounted else 'no tmpfs can be mounted: a full disk is imitated')


def mount_apart():
    "Start anew in a process whose mounts are its own, where the system allows it."
    if APART in os.environ or not shutil.which('unshare'): return
    command = ['unshare', '--map-root-user', '--mount']
    if not subprocess.run([*command, 'true'], capture_output=True).returncode:
        os.execvpe('unshare', [*command, sys.executable, *sys.argv], {**os.environ, APART: '1'})


def main():
    parser = ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('commands', nargs='*', default=list(COMMANDS))
    parser.add_argument('--faults', nargs='+', default=list(FAULTS), choices=FAULTS)
    parser.add_argument('--moments', type=int, default=1, help='for each command and fault')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    args = parser.parse_args()
    mount_apart()
    os.environ |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', TQDM_DISABLE='1', MPLBACKEND='agg')
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
    warnings.simplefilter('ignore')
    for o in PRELOAD: import_module(o)
    sys.modules['PIL.Image'].init()
    sys.modules['torch'].set_num_threads(1)
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        place = Place(os.path.realpath(tmp))
        prepare(place)
        for name in args.commands:
            for problem in check_command(place, name, args.faults, args.moments, args.seed):
                failed += 1
                print('FAILED', problem, flush=True)
        if place.mounted: subprocess.run(['umount', place.disk])
    return failed > 0


if __name__ == '__main__': sys.exit(main())
