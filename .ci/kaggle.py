"""The kernels of kaggle/ from top to bottom on an imitation of Kaggle: its folders, a clean environment, no network.

    python .ci/kaggle.py

The environment has what the tests' environment has, but for biomass_nb and nbdev; biomass_nb comes from a wheel in an attached dataset.
A connection to anywhere but this machine is an error there. Weights are made up, of small backbones, in the files that biomass_weights makes.
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
from pathlib import Path

import nbformat
import pandas as pd
import timm
from biomass_nb.data import TARGETS, check_grams, read_test
from biomass_nb.pack import build_wheel
from biomass_nb.synth import write_quadrats
from nbclient import NotebookClient
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
SMALL = dict(img_size=64, epochs=2, n_folds=2, bs=8)
BACKBONES = dict(dinov3_large=dict(name='vit_tiny_patch16_dinov3_qkvb', weight=.6), convnext_large=dict(name='test_convnext', weight=.4))
NO_NETWORK = '''
import socket
_connect, _lookup = socket.socket.connect, socket.getaddrinfo
def _refuse(host):
    if str(host) not in ('127.0.0.1', '::1', 'localhost'): raise OSError(f'no network here: {host} was asked for')
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6): _refuse(address[0])
    return _connect(self, address)
def getaddrinfo(host, *args, **kwargs):
    _refuse(host)
    return _lookup(host, *args, **kwargs)
socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo
'''


def stock_image(folder):
    "An environment like Kaggle's: the packages of this one, without ours, and without a network. Returns its Python."
    venv.create(folder)
    python = folder/'bin'/'python'
    here = Path(sysconfig.get_path('purelib'))
    there = folder/here.relative_to(sys.prefix)
    for p in here.iterdir():
        if not p.name.lower().startswith(('biomass_nb', '__editable__', 'nbdev')): (there/p.name).symlink_to(p)
    (there/'sitecustomize.py').write_text(NO_NETWORK)
    for code, what in (('import socket; socket.create_connection(("192.0.2.1", 80), 2)', 'no network here'), ('import biomass_nb', 'No module named')):
        assert what in subprocess.run([python, '-c', code], cwd=folder, capture_output=True, text=True).stderr, f'{code} should fail in the clean environment'
    return python


def weights(folder, names):
    "Made-up weights in the layout of pretrained-weights-biomass."
    for name in names:
        path = folder/name/'model.safetensors'
        path.parent.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in timm.create_model(name, num_classes=0).state_dict().items()}, path)


def run_kernel(name, python, kaggle, **settings):
    "Run a kernel from top to bottom, its settings changed as one would by hand; returns what it printed."
    nb = nbformat.read(ROOT/'kaggle'/name/f'{name}.ipynb', 4)
    at = next(i for i, c in enumerate(nb.cells) if 'parameters' in c.metadata.get('tags', []))
    nb.cells.insert(at + 1, nbformat.v4.new_code_cell('\n'.join(f'{k} = {v!r}' for k, v in settings.items())))
    spec = kaggle.parent/'jupyter'/'kernels'/'clean'
    spec.mkdir(parents=True, exist_ok=True)
    (spec/'kernel.json').write_text(json.dumps(dict(argv=[str(python), '-m', 'ipykernel_launcher', '-f', '{connection_file}', '--log-level=ERROR'], display_name='clean', language='python')))
    (kaggle/'working').mkdir(parents=True, exist_ok=True)
    os.environ |= dict(JUPYTER_PATH=str(spec.parent.parent), BIOMASS_NB_KAGGLE=str(kaggle), BIOMASS_NB_CACHE=str(kaggle.parent/'cache'), TQDM_DISABLE='1', HF_HUB_OFFLINE='1')
    os.environ.pop('PYTHONPATH', None)
    start = time.time()
    try: NotebookClient(nb, timeout=300, kernel_name='clean', resources=dict(metadata=dict(path=str(kaggle/'working')))).execute()
    except Exception: print(*(o.get('text', '') for c in nb.cells for o in c.get('outputs', []))); raise
    text = ''.join(o.get('text', '') for c in nb.cells for o in c.get('outputs', []))
    print(f'  {name}: {time.time() - start:.0f} s', flush=True)
    return text


def attach_output(kaggle, name):
    "Make a dataset of a kernel's output, as the button New Dataset does."
    shutil.move(kaggle/'working', kaggle/'input'/'datasets'/'me'/name)


def check_submission(kaggle, n):
    "The submission has the rows of the sample, in its order, and grams that can be."
    data = kaggle/'input'/'competitions'/'csiro-biomass'
    sub, sample = pd.read_csv(kaggle/'working'/'submission.csv'), pd.read_csv(data/'sample_submission.csv')
    assert sub.columns.tolist() == ['sample_id', 'target'] and sub.sample_id.tolist() == sample.sample_id.tolist() and len(sub) == 5*n, f'a submission of {len(sub)} rows for {n} photos'
    ids = read_test(data).image_id
    grams = sub.set_index('sample_id').target
    check_grams(pd.DataFrame({t: grams[[f'{i}__{t}' for i in ids]].to_numpy() for t in TARGETS}).to_numpy(), ids)
    assert n == 1 or grams.nunique() > n


def test_photos(kaggle, n):
    "The hidden test set takes the place of the visible one: n photos, one of them damaged if there are several."
    data, other = kaggle/'input'/'competitions'/'csiro-biomass', kaggle.parent/f'hidden{n}'
    write_quadrats(other, 4, n, 4, min(n, 8), seed=n, size=(192, 96))
    shutil.rmtree(data/'test')
    for name in ('test', 'test.csv', 'sample_submission.csv'): shutil.move(other/name, data/name)
    if n > 1: next((data/'test').iterdir()).write_bytes(b'no photo')


def main():
    start = time.time()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        kaggle = tmp/'kaggle'
        datasets = kaggle/'input'/'datasets'/'me'
        build_wheel(datasets/'biomass-nb-wheels')
        python = stock_image(tmp/'image')
        write_quadrats(kaggle/'input'/'competitions'/'csiro-biomass', 48, 1, 8, 1, size=(192, 96))
        weights(datasets/'pretrained-weights-biomass', [b['name'] for b in BACKBONES.values()])

        backbone = BACKBONES['dinov3_large']['name']
        said = run_kernel('12_dinov3_train', python, kaggle, changes=dict(SMALL, backbone=backbone), hours=0)
        assert 'time is up' in said and not list((kaggle/'working').glob('fold0*')), said
        attach_output(kaggle, 'first-session')
        said = run_kernel('12_dinov3_train', python, kaggle, changes=dict(SMALL, backbone=backbone))
        assert 'pooled' in said and {'fold0.safetensors', 'fold1.safetensors', 'oof.csv', 'summary.json'} <= {p.name for p in (kaggle/'working').iterdir()}, said
        shutil.rmtree(datasets/'first-session')
        attach_output(kaggle, 'csiro-dinov3-trained')
        run_kernel('12_dinov3_infer', python, kaggle)
        check_submission(kaggle, 1)
        test_photos(kaggle, 200)
        said = run_kernel('12_dinov3_infer', python, kaggle, views='d4')
        assert '200 photos' in said and '1 of 200 photos cannot be used' in said, said
        check_submission(kaggle, 200)
        shutil.rmtree(kaggle/'working')
        shutil.rmtree(datasets/'csiro-dinov3-trained')

        said = run_kernel('13_multi_backbone_train', python, kaggle, changes=SMALL, backbones=BACKBONES)
        assert all((kaggle/'working'/k/'fold1.safetensors').is_file() for k in BACKBONES) and 'weights:' in said, said
        attach_output(kaggle, 'csiro-multi-trained')
        run_kernel('13_multi_backbone_infer', python, kaggle, views='flip3')
        check_submission(kaggle, 200)

        said = run_kernel('12_dinov3_local', python, tmp/'local', changes=dict(SMALL))
        assert (tmp/'local'/'working'/'submission.csv').is_file() and 'pooled' in said, said
    print(f'{time.time() - start:.0f} s')


if __name__ == '__main__': main()
