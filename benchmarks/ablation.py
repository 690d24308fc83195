"""What each choice of training is worth, on synthetic quadrats of sites that the model has not seen.

    python benchmarks/ablation.py --seeds 6

For each seed another set of sites is drawn. Each variant of the `demo` preset, with half its epochs, is trained once on all training
photos and scored on the test photos of other sites. Rows are added to ablation.csv beside this file as they come, those that are there are not computed again,
and nbs/tutorials/ablation.ipynb shows them.
"""
import argparse
import csv
import tempfile
import time
from pathlib import Path

import torch
from biomass_nb.data import TARGETS, find_photos, read_test, read_train
from biomass_nb.losses import weighted_r2
from biomass_nb.runs import make_config
from biomass_nb.synth import write_quadrats
from biomass_nb.train import train_folds
from biomass_nb.tta import predict_run

RESULTS = Path(__file__).with_name('ablation.csv')
EPOCHS = 12  # half of the preset's, for time's sake
VARIANTS = {  # what differs from the first
    'demo preset': {},
    'concat instead of FiLM': dict(head='concat'),
    'density head': dict(head='density'),
    'whole instead of halves': dict(stream='whole'),
    'whole and density head': dict(stream='whole', head='density'),
    'light augmentation': dict(tfms='light'),
    'no augmentation': dict(tfms='none'),
    'MixupCutmix': dict(mix=.5),
    'EMA': dict(ema=.95),
    'weighted MSE': dict(loss='weighted_mse'),
    'Huber': dict(loss='huber'),
    'R2': dict(loss='r2'),
    'combined': dict(loss='combined'),
    '7 intervals': dict(intervals=.3),
    'metadata': dict(metadata=.3),
    'heads from zero': dict(fit_heads=False),
}


def draw(folder, seed):
    "The photos of one seed, with other sites for the test."
    return write_quadrats(folder, seed=seed)


def score(data, folder, seed, changes):
    "Weighted R2 of the test photos for one variant; its run and store are kept in `folder`."
    cfg = make_config('demo', n_folds=0, epochs=EPOCHS, seed=seed, **changes)
    run = Path(folder)/'-'.join([str(seed), *(f'{k}={v}' for k, v in changes.items())])
    train_folds(data, run, cfg, Path(folder)/'store', verbose=False)
    test = read_test(data)
    truth = read_train(Path(data)/'test_labels.csv').set_index('image_id').loc[test.image_id]
    return weighted_r2(truth[list(TARGETS)].to_numpy(), predict_run(run, find_photos(test, data), 'none', store=Path(folder)/'store'))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', type=int, default=6)
    p.add_argument('--first', type=int, default=0, help='first seed, to divide the work among processes')
    p.add_argument('--threads', type=int, default=torch.get_num_threads())
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    done = {(r['variant'], r['seed']) for r in csv.DictReader(RESULTS.open())} if RESULTS.exists() else set()
    if not RESULTS.exists(): RESULTS.write_text('variant,seed,weighted_r2,seconds\n')
    for seed in range(args.first, args.first + args.seeds):
        with tempfile.TemporaryDirectory() as tmp:
            data = draw(Path(tmp)/'data', seed)
            for name, changes in VARIANTS.items():
                if (name, str(seed)) in done: continue
                start = time.time()
                row = f'{name},{seed},{score(data, tmp, seed, changes):.4f},{time.time() - start:.1f}'
                with RESULTS.open('a') as f: f.write(row + '\n')
                print(row, flush=True)


if __name__ == '__main__': main()
