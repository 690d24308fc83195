"""The kernels of kaggle/ from top to bottom on an imitation of Kaggle: its folders, clean images, no network.

    python .ci/kaggle.py

An image has what the tests' environment has, but for biomass_nb, nbdev and one package that biomass_nb needs.
The kernel 11_wheels finds out which, and fetches it from a folder in the place of the package index. The
others install what it leaves. A connection to anywhere but this machine is an error. Weights are made up,
of small backbones, in the files that biomass_weights makes. Two chains of kernels run side by side.
"""
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import nbformat
import numpy as np
import pandas as pd
import timm
from biomass_nb.data import TARGETS, check_grams, read_test
from biomass_nb.kaggle.wheels import build_wheel
from biomass_nb.synth import write_quadrats
from nbclient import NotebookClient
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
LACKING = 'albumentations'   # what the images have not; a package without compiled parts
SMALL = dict(img_size=64, epochs=1, n_folds=2, bs=8)
BACKBONES = dict(dinov3_large=dict(name='vit_tiny_patch16_dinov3_qkvb', weight=.6),
                 convnext_large=dict(name='test_convnext', weight=.4))
PHOTOS = 24   # hidden ones
NO_NETWORK = '''
import socket
_connect, _lookup = socket.socket.connect, socket.getaddrinfo
def _refuse(host):
    if str(host) in ('127.0.0.1', '::1', 'localhost'): return
    raise OSError(f'no network here: {host} was asked for')
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6): _refuse(address[0])
    return _connect(self, address)
def getaddrinfo(host, *args, **kwargs):
    _refuse(host)
    return _lookup(host, *args, **kwargs)
socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo
'''


def stock_image(folder):
    "An environment like Kaggle's: the packages of this one, without ours, and without a network. Its Python."
    venv.create(folder)
    python, here = folder/'bin'/'python', Path(sysconfig.get_path('purelib'))
    there = folder/here.relative_to(sys.prefix)
    for p in here.iterdir():
        if not p.name.lower().startswith(('biomass_nb', '__editable__', 'nbdev', LACKING)):
            (there/p.name).symlink_to(p)
    (there/'sitecustomize.py').write_text(NO_NETWORK)
    for code, what in (('import socket; socket.create_connection(("192.0.2.1", 80), 2)', 'no network here'),
                       ('import biomass_nb', 'No module named'), (f'import {LACKING}', 'No module named')):
        res = subprocess.run([python, '-I', '-c', code], capture_output=True, text=True)
        assert what in res.stderr, f'{code} should fail in the image'
    return python


def wheel_of(name, folder):
    "A wheel of an installed package, as the package index would have it."
    folder.mkdir(parents=True)
    installed = distribution(name)
    with ZipFile(folder/f'{name}-{installed.version}-py3-none-any.whl', 'w') as z:
        for p in installed.files:
            if '..' not in p.parts and p.suffix != '.pyc': z.write(p.locate(), str(p))


def make_weights(folder, names):
    "Made-up weights in the layout of pretrained-weights-biomass."
    for name in names:
        path = folder/name/'model.safetensors'
        path.parent.mkdir(parents=True)
        state = timm.create_model(name, num_classes=0).state_dict()
        save_file({k: v.contiguous() for k, v in state.items()}, path)


class Kaggle:
    "The folders of one user, and the image of the kernels."
    def __init__(self, folder, index):
        self.folder, self.root, self.index = folder, folder/'kaggle', index
        self.input, self.working = self.root/'input', self.root/'working'
        self.datasets, self.data = self.input/'datasets'/'me', self.input/'competitions'/'csiro-biomass'
        argv = [str(stock_image(folder/'image')), '-m', 'ipykernel_launcher', '-f', '{connection_file}',
                '--log-level=ERROR']
        spec = Path(os.environ['JUPYTER_PATH'])/'kernels'/folder.name
        spec.mkdir(parents=True)
        (spec/'kernel.json').write_text(json.dumps(dict(argv=argv, display_name='x', language='python')))

    def env(self):
        "The variables of a kernel's process."
        kept = {k: v for k, v in os.environ.items() if not k.startswith(('PYTHON', 'PIP_'))}
        return kept | dict(BIOMASS_NB_KAGGLE=str(self.root), BIOMASS_NB_CACHE=str(self.folder/'cache'),
                           PIP_NO_INDEX='1', PIP_FIND_LINKS=str(self.index), PIP_CONFIG_FILE=os.devnull,
                           HF_HUB_OFFLINE='1', TQDM_DISABLE='1', OMP_NUM_THREADS='1')

    def run(self, name, **settings):
        "Run a kernel from top to bottom, its settings changed as one would by hand. What it printed."
        nb = nbformat.read(ROOT/'kaggle'/name/f'{name}.ipynb', 4)
        at = next(i for i, c in enumerate(nb.cells) if 'parameters' in c.metadata.get('tags', []))
        changes = [f'{k} = {v!r}' for k, v in settings.items()]
        nb.cells.insert(at + 1, nbformat.v4.new_code_cell('\n'.join(changes)))
        self.working.mkdir(parents=True, exist_ok=True)
        place, start = dict(metadata=dict(path=str(self.working))), time.time()
        client = NotebookClient(nb, timeout=300, kernel_name=self.folder.name, resources=place)
        try: client.execute(env=self.env())
        except Exception: print(printed(nb)); raise
        print(f'  {name}: {time.time() - start:.0f} s', flush=True)
        return printed(nb)

    def attach_output(self, name, kind='datasets'):
        "Attach a kernel's output: as a dataset made of it, or as it is (notebooks)."
        (self.input/kind/'me').mkdir(parents=True, exist_ok=True)
        shutil.move(self.working, self.input/kind/'me'/name)

    def hide(self, n):
        "The hidden test set takes the place of the visible one: n photos, one of them damaged."
        other = self.folder/'hidden'
        write_quadrats(other, 4, n, 4, min(n, 8), seed=n, size=(192, 96))
        shutil.rmtree(self.data/'test')
        for name in ('test', 'test.csv', 'sample_submission.csv'): shutil.move(other/name, self.data/name)
        next((self.data/'test').iterdir()).write_bytes(b'no photo')

    def check_submission(self, n):
        "The submission has the rows of the sample, in its order, and grams that can be."
        sub = pd.read_csv(self.working/'submission.csv')
        sample, ids = pd.read_csv(self.data/'sample_submission.csv'), read_test(self.data).image_id
        assert sub.columns.tolist() == ['sample_id', 'target'] and len(sub) == 5*n == 5*len(ids)
        assert sub.sample_id.tolist() == sample.sample_id.tolist()
        grams = sub.set_index('sample_id').target
        check_grams(np.stack([grams[[f'{i}__{t}' for i in ids]] for t in TARGETS], 1), ids)
        assert n == 1 or grams.nunique() > n


def printed(nb): return ''.join(o.get('text', '') for c in nb.cells for o in c.get('outputs', []))


def names(folder): return {p.name for p in folder.iterdir()}


def wheels(kaggle, ours):
    "The wheelhouse, packed in the image by a kernel; our own wheel is attached."
    (own := kaggle.datasets/'own-wheel').mkdir(parents=True)
    shutil.copy(ours, own)
    kaggle.run('11_wheels')
    assert {o.split('-')[0] for o in names(kaggle.working)} == {'biomass_nb', LACKING, 'wheels.txt'}
    shutil.rmtree(own)
    kaggle.attach_output('11-wheels', 'notebooks')


def one_backbone(kaggle, ours):
    "Wheels, training that is interrupted and goes on, the visible test set, the hidden one."
    wheels(kaggle, ours)
    write_quadrats(kaggle.data, 48, 1, 8, 1, size=(192, 96))
    backbone = BACKBONES['dinov3_large']['name']
    make_weights(kaggle.datasets/'pretrained-weights-biomass', [backbone])
    said = kaggle.run('12_dinov3_train', changes=dict(SMALL, backbone=backbone), hours=0)
    assert 'time is up' in said and not list(kaggle.working.glob('fold0*')), said
    kaggle.attach_output('first-session')
    said = kaggle.run('12_dinov3_train', changes=dict(SMALL, backbone=backbone))
    done = {'fold0.safetensors', 'fold1.safetensors', 'summary.json'}
    assert 'pooled' in said and done <= names(kaggle.working) and list(kaggle.working.glob('oof*.csv')), said
    shutil.rmtree(kaggle.datasets/'first-session')
    kaggle.attach_output('csiro-dinov3-trained')
    kaggle.run('12_dinov3_infer')
    kaggle.check_submission(1)
    kaggle.hide(PHOTOS)
    said = kaggle.run('12_dinov3_infer', views='d4')
    assert f'{PHOTOS} photos' in said and f'1 of {PHOTOS} photos cannot be used' in said, said
    kaggle.check_submission(PHOTOS)


def two_backbones(kaggle, ours):
    "Wheels, several backbones and their ensemble; then training and prediction without anything attached."
    wheels(kaggle, ours)
    write_quadrats(kaggle.data, 48, 1, 8, 1, size=(192, 96))
    make_weights(kaggle.datasets/'pretrained-weights-biomass', [b['name'] for b in BACKBONES.values()])
    said = kaggle.run('13_multi_backbone_train', changes=SMALL, backbones=BACKBONES)
    assert all((kaggle.working/k/'fold1.safetensors').is_file() for k in BACKBONES), said
    assert 'weights:' in said, said
    kaggle.attach_output('csiro-multi-trained')
    kaggle.hide(PHOTOS)
    kaggle.run('13_multi_backbone_infer', views='flip3')
    kaggle.check_submission(PHOTOS)
    shutil.rmtree(kaggle.root)
    said = kaggle.run('12_dinov3_local', changes=SMALL)
    assert (kaggle.working/'submission.csv').is_file() and 'pooled' in said, said


def main():
    start = time.time()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        os.environ['JUPYTER_PATH'] = str(tmp/'jupyter')
        ours = build_wheel(tmp/'ours')
        wheel_of(LACKING, tmp/'index')
        chains = [one_backbone, two_backbones]
        users = [Kaggle(tmp/chain.__name__, tmp/'index') for chain in chains]
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(chain, user, ours) for chain, user in zip(chains, users)]: done.result()
    print(f'{time.time() - start:.0f} s')


if __name__ == '__main__': main()
