"""What pseudo-labels and test-time training are worth, on synthetic test sites under another sky.

    python benchmarks/pseudo.py --seeds 6

For each seed other sites are drawn; the test photos are of sites that training has not seen, in warmer light, from a lower camera, with
yellower grass. A run is trained, then continued in every way of WAYS, and each result is scored out of fold and on the test photos.
Rows are added to pseudo.csv beside this file as they come; seeds that are there are not computed again. nbs/05_pseudo.ipynb shows them.
"""
from pathlib import Path

import pandas as pd
from biomass_nb.data import TARGETS, find_photos, read_test, read_train
from biomass_nb.losses import weighted_r2
from biomass_nb.pseudo import iterate, ttt_predict
from biomass_nb.runs import make_config
from biomass_nb.synth import write_quadrats
from biomass_nb.train import train_folds
from biomass_nb.tta import predict_run

RESULTS = Path(__file__).with_name('pseudo.csv')
WAYS = {  # arguments of iterate
    'rounds': dict(rounds=3),
    'rounds from the last weights': dict(rounds=3, start='last'),
    'unseen teachers': dict(rounds=1, teachers='unseen'),
    'chosen by folds and views': dict(rounds=1, samples=0),
    'all test photos': dict(rounds=1, share=1.),
}


def one_seed(seed, folder, ways=WAYS, epochs=10):
    "Rows (way, round, out of fold, test) of one seed; runs and store are kept in `folder`."
    data = write_quadrats(folder/'data', 120, 80, 12, 10, seed, (256, 128), shift=1.)
    cfg = make_config('demo', epochs=epochs, img_size=96, n_folds=2, seed=seed)
    run, test, store = folder/'run', read_test(data), folder/'store'
    score = train_folds(data, run, cfg, store, verbose=False)['weighted_r2']
    paths = find_photos(test, data)
    truth = read_train(data/'test_labels.csv').set_index('image_id').loc[test.image_id, list(TARGETS)].to_numpy()
    on_test = lambda run: weighted_r2(truth, predict_run(run, paths, 'flip3', store=store))
    yield 'plain', 0, score, on_test(run)
    for name, how in ways.items():
        table = iterate(data, run, test, folder/name, store=store, verbose=False, **how)
        for i, row in table[1:].iterrows(): yield name, i, row.weighted_r2, on_test(row.run)
    for rate in (.3, 1.):
        preds, _ = ttt_predict(run, data, test, folder/f'ttt {rate}', 60., rate=rate, verbose=False, store=store)
        out_of_fold = pd.read_json(folder/f'ttt {rate}'/'summary.json', typ='series').weighted_r2
        yield f'test-time training, {rate} of the rates', 1, out_of_fold, weighted_r2(truth, preds)


if __name__ == '__main__':
    from measure import by_seed  # beside this script
    by_seed(__doc__, RESULTS, 'seed,way,round,out_of_fold,test', one_seed)
