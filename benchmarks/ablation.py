"""What each choice of training is worth, on synthetic quadrats of sites that the model has not seen.

    python benchmarks/ablation.py --seeds 6

For each seed other sites are drawn. Each variant of the preset `demo`, with half its epochs, is trained once
on all training photos and scored on the test photos of other sites. Rows are added to ablation.csv beside
this file, seed after seed. nbs/tutorials/ablation.ipynb shows them.
"""
from time import perf_counter

from measure import Drawn, by_seed, trained

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


def one_seed(seed, folder, numbers=(), variants=VARIANTS, epochs=EPOCHS, **small):
    "(variant, weighted R2 of the test photos, seconds); `numbers` and `small` make it smaller."
    drawn = Drawn(folder/'data', *numbers, seed=seed)
    for name, changes in variants.items():
        start = perf_counter()
        run = trained(drawn.data, folder/name, n_folds=0, epochs=epochs, seed=seed, **changes, **small)
        score = drawn.score(run.predict(drawn.photos, 'none'))
        yield name, score, round(perf_counter() - start, 1)


QUICK = dict(numbers=(24, 8, 6, 2), epochs=1, img_size=64)

if __name__ == '__main__': by_seed(__doc__, one_seed, ['variant', 'seed', 'weighted_r2', 'seconds'], **QUICK)
