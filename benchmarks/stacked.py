"""Seconds of a batch for all members of a run: asked one after the other, or as one stacked call.

    python benchmarks/stacked.py --out benchmarks/stacked.csv

`torch.func` stacks the weights of models of one architecture, and `vmap` runs them as one batched call. Each
convolution then becomes one with as many groups as there are members. "Whole" networks see the halves of a
batch. "Upper" parts see the maps of frozen stages, as those of the preset `pretrained`. Both sides have
folded batch norms, and their grams are compared. The rounds of both sides alternate, so that other work of
the machine meets both.
"""
from itertools import product
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch
from biomass_nb.config import make_config
from biomass_nb.core import autocast, pick_precision
from biomass_nb.frozen import SharedLower
from biomass_nb.model_film import fold_norms
from biomass_nb.run import build_model
from measure import DEVICE, machine, parser
from torch.func import functional_call, stack_module_state, vmap


def models_of(cfg, n):
    "Models for prediction that differ in all their weights, in their heads and in what is trained."
    models = []
    for seed in range(n):
        torch.manual_seed(seed)
        models.append(build_model(cfg).eval().requires_grad_(False).to(DEVICE))
    return models


def upper_models(cfg, models, halves):
    "The same models without their frozen stages, and the maps that they see."
    for model in models[1:]: model.backbone.load_state_dict(models[0].backbone.state_dict())
    shared = SharedLower(cfg)
    shared.about()
    lent = [shared.lend(model, shared.find(lambda: model)) for model in models]
    maps = lent[0].lower(torch.cat([halves, halves])).chunk(2)
    for model in lent: model.lower = None
    return lent, maps


def sides_of(models, inputs):
    "Functions without arguments that give (M, B, 5) grams, by name."
    folded = [fold_norms(model, *inputs) for model in models]
    weights, buffers = stack_module_state(folded)
    def one(weights, buffers): return functional_call(folded[0], (weights, buffers), inputs)
    return {'one by one': lambda: torch.stack([model(*inputs) for model in folded]),
            'stacked': lambda: vmap(one)(weights, buffers)}


def seconds(ask):
    "Seconds of one call, and its answer."
    if DEVICE.type == 'cuda': torch.cuda.synchronize()
    begun = perf_counter()
    grams = ask()
    if DEVICE.type == 'cuda': torch.cuda.synchronize()
    return perf_counter() - begun, grams


@torch.inference_mode()
def main():
    p = parser(__doc__)
    p.add_argument('--out', type=Path, help='csv file to write')
    p.add_argument('--backbone', default='tf_efficientnet_lite0', help='a model of timm')
    p.add_argument('--img_size', type=int, default=448, help='side of a half')
    p.add_argument('--members', type=int, default=5)
    p.add_argument('--bs', type=int, nargs='+', default=[1, 8], help='quadrats in a batch')
    p.add_argument('--repeats', type=int, default=5)
    o = p.parse_args()
    if o.quick: o.img_size, o.bs, o.repeats = 64, [2], 1
    precision, rows = pick_precision('auto', DEVICE), []
    cfg = make_config('pretrained', backbone=o.backbone, img_size=o.img_size, weights='')
    for part, bs in product(('whole', 'upper'), o.bs):
        models, halves = models_of(cfg, o.members), torch.randn(bs, 3, o.img_size, o.img_size, device=DEVICE)
        inputs = halves, halves
        if part == 'upper': models, inputs = upper_models(cfg, models, halves)
        sides = sides_of(models, inputs)
        for i in range(-1, o.repeats):  # the first round warms up
            with autocast(DEVICE, precision):
                results = {side: seconds(ask) for side, ask in sides.items()}
            gap = (results['one by one'][1] - results['stacked'][1]).abs().max().item()
            rows += [dict(machine=machine(), part=part, backbone=o.backbone, img_size=o.img_size, bs=bs,
                          members=o.members, precision=precision, round=i, side=side, seconds=spent,
                          difference_g=gap) for side, (spent, _) in results.items() if i >= 0]
    table = pd.DataFrame(rows)
    shown = table.groupby(['part', 'bs', 'side'], sort=False).seconds.median().unstack()
    print(shown.assign(gain=shown['one by one']/shown['stacked']).round(2).to_string())
    if o.out: table.to_csv(o.out, index=False, float_format='%.4g', lineterminator='\n')


if __name__ == '__main__': main()
