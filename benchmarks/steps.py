"""The strategy's steps from 0.70 to gold, on synthetic quadrats of sites that training has not seen.

    python benchmarks/steps.py --seeds 6

For each seed other sites are drawn. The backbones are small and begin at random weights, so this says what
the steps do here, and not what they do to a pretrained ViT-L on real pasture. Rows are added to steps.csv
beside this file, seed after seed. nbs/tutorials/gold.ipynb shows them.
"""
from biomass_nb.ensemble import blend
from biomass_nb.pseudo import iterate
from biomass_nb.run import Run
from measure import Drawn, by_seed, trained

BACKBONES = 'test_vit', 'test_convnext'  # beside the preset's
HEAVY = 'heavy augmentation, MixUp and CutMix'
BEFORE = {  # the step that each step stands on
    'all folds': 'one model', '3 views': 'all folds', '8 views': '3 views', HEAVY: '8 views',
    'combined loss': HEAVY, 'three backbones': HEAVY, 'pseudo-labels': HEAVY}


def one_seed(seed, folder, numbers=(240, 80, 20, 8), **small):
    "(step, weighted R2 of the test photos); `numbers` and `small` make it smaller."
    drawn = Drawn(folder/'data', *numbers, seed, (256, 128))
    settings = dict(epochs=12, img_size=96, n_folds=3, seed=seed) | small
    train = lambda name, **changes: trained(drawn.data, folder/name, **settings, **changes)
    grams = lambda run, views='d4': run.predict(drawn.photos, views)

    light = train('light', tfms='light')
    each = light.predict_each(drawn.photos, 'd4')
    yield 'one model', drawn.score(each[0, 0])
    yield 'all folds', drawn.score(each[:, 0].mean(0))
    yield '3 views', drawn.score(grams(light, 'flip3'))
    yield '8 views', drawn.score(each.mean((0, 1)))

    heavy = train('heavy', mix=.5)
    yield HEAVY, drawn.score(grams(heavy))
    yield 'combined loss', drawn.score(grams(train('combined', mix=.5, loss='combined')))
    others = [train(backbone, backbone=backbone, mix=.5) for backbone in BACKBONES]
    yield 'three backbones', drawn.score(blend([grams(run) for run in (heavy, *others)]))
    iterate(drawn.data, heavy, drawn.test, folder/'rounds', rounds=1, teachers='all', verbose=False)
    yield 'pseudo-labels', drawn.score(grams(Run(folder/'rounds'/'round1', heavy.store)))


QUICK = dict(numbers=(24, 8, 6, 2), epochs=1, img_size=64, n_folds=2)

if __name__ == '__main__': by_seed(__doc__, one_seed, ['seed', 'step', 'weighted_r2'], **QUICK)
