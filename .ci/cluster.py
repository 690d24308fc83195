"""Training and prediction on a Ray cluster of two nodes on this machine, one of which is lost.

    python .ci/cluster.py            # training, a lost node, a folder of photos, errors
    python .ci/cluster.py --speed    # and two nodes against one, which needs two idle cores

Each node has one core and an address on the loopback device: 127.0.0.2 and 127.0.0.3. The node that the
program does not run on is killed in the middle of the work. What is left must equal the result of a local
run, whose processes have one core each: the weights to the last bit, and each photo once, in order.
"""
import os
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

os.environ |= {'RAY_USAGE_STATS_ENABLED': '0', 'TQDM_DISABLE': '1', 'OMP_NUM_THREADS': '1'}

import ray
import torch
from biomass_nb.config import make_config
from biomass_nb.core import DataError
from biomass_nb.paddock.grams import predict_folder
from biomass_nb.run import Run
from biomass_nb.synth import write_quadrats
from biomass_nb.train import train_folds
from biomass_nb.workers import Workers, run_tasks
from safetensors.torch import load_file

HEAD, OTHER, PORT = '127.0.0.2', '127.0.0.3', 6399
RAY = str(Path(sys.executable).with_name('ray'))


class Cluster:
    "A Ray cluster on loopback addresses, and this program connected to it."
    def __init__(self, folder): self.folder, self.nodes = folder, {}

    def start(self, address):
        "Start a node with one core."
        where = ['--head', f'--port={PORT}', '--include-dashboard=false', f'--temp-dir={self.folder}/ray'] \
            if address == HEAD else [f'--address={HEAD}:{PORT}']
        self.nodes[address] = subprocess.Popen(
            [RAY, 'start', f'--node-ip-address={address}', '--num-cpus=1', '--disable-usage-stats', '--block',
             '--object-store-memory=200000000', *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        if address == HEAD: self.connect()
        until(lambda: any(o['Alive'] and o['NodeManagerAddress'] == address for o in ray.nodes()), address)

    def connect(self):
        for _ in range(60):
            try: return ray.init(address=f'{HEAD}:{PORT}', _node_ip_address=HEAD, logging_level='error',
                                 log_to_driver=False)
            except (ConnectionError, RuntimeError): time.sleep(1)
        sys.exit('error: the cluster did not start')

    def kill(self, address):
        "Kill all processes of a node at once, as a machine that loses power."
        os.killpg(self.nodes.pop(address).pid, signal.SIGKILL)

    def __enter__(self): self.start(HEAD); self.start(OTHER); return self

    def __exit__(self, *_):
        ray.shutdown()
        for address in [*self.nodes]: self.kill(address)


def until(true, what, seconds=120):
    "Wait until something is true."
    for _ in range(seconds*10):
        if true(): return
        time.sleep(.1)
    sys.exit(f'error: waited {seconds} s for {what}')


@contextmanager
def in_vain(said):
    "The block raises a `DataError` that says so."
    try: yield
    except DataError as e: assert said in str(e), e
    else: raise AssertionError(f'nobody said {said!r}')


def training(cluster, home, data):
    "Five folds on two nodes, one of which is lost, against a local run."
    cfg = make_config('demo', backbone='test_efficientnet', img_size=64, epochs=6, n_folds=5)
    local, there = Run(home/'local', home/'store'), Run(home/'there', home/'store')
    with Workers(jobs=2): train_folds(data, local, cfg, verbose=False)
    lost = []
    def lose():
        "Kill the other node when it trains and has kept a checkpoint."
        busy = lambda: len(list(there.path.glob('*.resume.safetensors'))) == 2
        until(lambda: there.finished and busy(), 'a checkpoint of each node')
        lost.extend(o.name.partition('.')[0] for o in there.path.glob('*.resume.safetensors'))
        cluster.kill(OTHER)
    killer = Thread(target=lose)
    killer.start()
    with Workers('ray'): train_folds(data, there, cfg, verbose=False)
    killer.join()
    for m in local.members:
        one, other = (load_file(o/f'{m.name}.safetensors') for o in (local, there))
        assert all(torch.equal(v, other[k]) for k, v in one.items()), m.name
    assert (local/'oof.csv').read_bytes() == (there/'oof.csv').read_bytes()
    print(f'training: {len(local.members)} members, a node lost while {" and ".join(lost)} were in training; '
          'the weights equal those of the local run')
    return there


def photos(cluster, home, run, n):
    "A folder of photos on two nodes, one of which is lost, against this process."
    drawn = sorted((home/'data'/'train').glob('*.jpg'))
    many = home/'many'
    many.mkdir()
    for i in range(n): (many/f'{i:05}.jpg').symlink_to(drawn[i % len(drawn)])
    def lose():
        until(lambda: len(list((home/'there.csv.work').rglob('*.parquet'))) > 2, 'two chunks')
        cluster.kill(OTHER)
    torch.set_num_threads(1)
    predict_folder(run, many, home/'here.csv', home/'data', chunk=100)
    killer = Thread(target=lose)
    killer.start()
    with Workers('ray'): there = predict_folder(run, many, home/'there.csv', home/'data', chunk=100)
    killer.join()
    assert there.photo.tolist() == [f'{i:05}.jpg' for i in range(n)]
    assert (home/'here.csv').read_bytes() == (home/'there.csv').read_bytes()
    print(f'photos: {n} rows, a node lost, the table equals that of one process')


def answers(run, home, data):
    "Members that are asked on the cluster."
    drawn = sorted((home/'data'/'test').glob('*.jpg'))
    here = Run(run.path, home/'store_here').predict(drawn, 'flip3')
    with Workers('ray'): there = Run(run.path, home/'store_there').predict(drawn, 'flip3')
    assert (here == there).all()
    print('prediction: the grams equal those of this process')


def errors(home, run):
    "What a user is told."
    with Workers('ray'):
        with in_vain('does not see'): run_tasks(abs, [1], needs=(home/'nowhere',))
        with in_vain('invalid'): run_tasks(_fail, [1])
    with Workers('ray', cpus=64), in_vain('no machine of the cluster has 64 cores'): run_tasks(abs, [1])
    print('errors: one line each')


def _fail(_): raise DataError('invalid')


def speed(cluster, home, data):
    "Four members on two nodes and on one: seconds of each, without the start of the processes."
    seconds = {}
    for n in (2, 1):
        if n == 1: cluster.kill(OTHER); until(lambda: ray.cluster_resources()['CPU'] == 1, 'the loss')
        for epochs in (1, 30):  # first, so that the processes have imported what they need
            cfg = make_config('demo', backbone='test_efficientnet', img_size=128, epochs=epochs, n_folds=4)
            start = time.time()
            run = Run(home/f'{n}_{epochs}', home/'store')
            with Workers('ray'): train_folds(data, run, cfg, verbose=False)
            seconds[n] = time.time() - start
    print(f'speed: {seconds[1]:.1f} s on one node, {seconds[2]:.1f} s on two, '
          f'{seconds[1]/seconds[2]:.2f} times as fast')


if __name__ == '__main__':
    p = ArgumentParser(description=__doc__)
    p.add_argument('--speed', action='store_true', help='compare two nodes with one')
    p.add_argument('--photos', type=int, default=2000, help='photos in the folder')
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        home = Path(tmp)
        data = write_quadrats(home/'data', 60, 24, n_sites=10, n_test_sites=4, size=(128, 64))
        with Cluster(home) as cluster:
            if o.speed: speed(cluster, home, data)
            else:
                run = training(cluster, home, data)
                cluster.start(OTHER)
                errors(home, run)
                answers(run, home, data)
                photos(cluster, home, run, o.photos)
