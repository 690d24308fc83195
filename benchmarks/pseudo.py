"""What pseudo-labels and test-time training are worth, on synthetic test sites under another sky.

    python benchmarks/pseudo.py --seeds 6

For each seed other sites are drawn. The test photos are of sites that training has not seen, in warmer
light, from a lower camera, with yellower grass. A run is trained and then continued in every way of WAYS and
by test-time training. Each result is scored out of fold and on the test photos. Rows are added to pseudo.csv
beside this file, seed after seed. nbs/05_pseudo.ipynb shows them.
"""
from biomass_nb.core import Budget
from biomass_nb.pseudo import TTT, iterate, ttt_predict
from biomass_nb.run import Run
from measure import Drawn, by_seed, trained

WAYS = {  # arguments of iterate
    'rounds': dict(rounds=3),
    'rounds from the last weights': dict(rounds=3, start='last'),
    'unseen teachers': dict(rounds=1, teachers='unseen'),
    'chosen by folds and views': dict(rounds=1, samples=0),
    'all test photos': dict(rounds=1, share=1.),
}


def one_seed(seed, folder, numbers=(120, 80, 12, 10), ways=WAYS, **small):
    "(way, round, weighted R2 out of fold, of the test photos); `numbers` and `small` make it smaller."
    drawn = Drawn(folder/'data', *numbers, seed, (256, 128), shift=1.)
    settings = dict(epochs=10, img_size=96, n_folds=2, seed=seed) | small
    on_test = lambda run: drawn.score(run.predict(drawn.photos, 'flip3'))
    run = trained(drawn.data, folder/'run', **settings)
    yield 'plain', 0, run.summary['weighted_r2'], on_test(run)
    for name, how in ways.items():
        how = dict(teachers='all') | how  # the strategy's way, whose rounds have a score that is too high
        table = iterate(drawn.data, run, drawn.test, folder/name, verbose=False, **how)
        for i, path in table.run[1:].items():
            later = Run(path, run.store)
            yield name, i, later.summary['weighted_r2'], on_test(later)
    for rate in (.3, 1.):
        out = folder/f'ttt {rate}'
        how = TTT(rate=rate, teachers='all')
        grams, _ = ttt_predict(run, drawn.data, drawn.test, out, Budget(60), how, verbose=False)
        yield (f'test-time training, {rate} of the rates', 1, Run(out).summary['weighted_r2'],
               drawn.score(grams))


QUICK = dict(numbers=(24, 8, 6, 2), epochs=1, img_size=64)

COLUMNS = ['seed', 'way', 'round', 'out_of_fold', 'test']

if __name__ == '__main__': by_seed(__doc__, one_seed, COLUMNS, **QUICK)
