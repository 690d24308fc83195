"""The strategy's steps from 0.70 to gold, one on top of the other, on synthetic quadrats of sites that training has not seen.

    python benchmarks/steps.py --seeds 6

For each seed other sites are drawn. The backbones are small and begin at random weights, so this says what the steps do here, not what
they do to a pretrained ViT-L on real pasture. Rows are added to steps.csv beside this file as they come; seeds that are there are not
computed again. nbs/tutorials/gold.ipynb shows them.
"""
from pathlib import Path

from biomass_nb.data import TARGETS, find_photos, read_test, read_train
from biomass_nb.ensemble import blend
from biomass_nb.losses import weighted_r2
from biomass_nb.pseudo import iterate
from biomass_nb.runs import make_config
from biomass_nb.synth import write_quadrats
from biomass_nb.train import train_folds
from biomass_nb.tta import predict_run, predict_views

RESULTS = Path(__file__).with_name('steps.csv')
BACKBONES = 'test_vit', 'test_convnext'  # beside the preset's


def one_seed(seed, folder, **changes):
    "Step and its score on the test photos, for one seed; runs and store are kept in `folder`."
    data, store = write_quadrats(folder/'data', 240, 80, 20, 8, seed, (256, 128)), folder/'store'
    test = read_test(data)
    photos = find_photos(test, data)
    truth = read_train(data/'test_labels.csv').set_index('image_id').loc[test.image_id, list(TARGETS)].to_numpy()
    score = lambda preds: weighted_r2(truth, preds)

    def trained(name, **more):
        train_folds(data, folder/name, make_config('demo', **{**dict(epochs=12, img_size=96, n_folds=3, seed=seed), **changes, **more}), store, verbose=False)
        return folder/name

    each = predict_views(trained('light', tfms='light'), photos, 'd4', store=store)
    yield 'one model', score(each[0, 0])
    yield 'all folds', score(each[:, 0].mean(0))
    yield '3 views', score(predict_run(folder/'light', photos, 'flip3', store=store))
    yield '8 views', score(each.mean((0, 1)))
    heavy = predict_run(trained('heavy', mix=.5), photos, 'd4', store=store)
    yield 'heavy augmentation, MixUp and CutMix', score(heavy)
    yield 'combined loss', score(predict_run(trained('combined', mix=.5, loss='combined'), photos, 'd4', store=store))
    yield 'three backbones', score(blend([heavy, *(predict_run(trained(b, backbone=b, mix=.5), photos, 'd4', store=store) for b in BACKBONES)]))
    iterate(data, folder/'heavy', test, folder/'rounds', rounds=1, store=store, verbose=False)
    yield 'pseudo-labels', score(predict_run(folder/'rounds'/'round1', photos, 'd4', store=store))


if __name__ == '__main__':
    from measure import by_seed  # beside this script
    by_seed(__doc__, RESULTS, 'seed,step,weighted_r2', one_seed)
