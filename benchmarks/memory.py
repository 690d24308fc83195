"""Memory that training takes, counted without a GPU and without weights.

    python benchmarks/memory.py --out benchmarks/memory.csv

The model, its gradients, the optimizer and a training step run on fake tensors, which have sizes and no
content. PyTorch's `MemTracker` follows each allocation of the step and gives its peak, by what it is for.
CUDA itself (0.3 to 0.5 GB), the work space of cuDNN and gaps between blocks are left out. The attention is
PyTorch's fused one, as on a GPU. A step is that of the preset `gold`, with its batch and image size: forward,
loss, backward, AdamW.
"""
import argparse
import warnings
from pathlib import Path

import pandas as pd
import torch
from biomass_nb.config import BACKBONES, make_config
from biomass_nb.model_film import BiomassModel
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

GB = 2**30


def without_content(model, mode):
    "Replace parameters and buffers by fake ones."
    for m in model.modules():
        for k, v in m._parameters.items():
            if v is not None: m._parameters[k] = torch.nn.Parameter(mode.from_tensor(v).detach())
        for k, v in m._buffers.items():
            if v is not None: m._buffers[k] = mode.from_tensor(v)


def step_memory(backbone, size, bs, precision, checkpointing):
    "Bytes at the peak of a step, when the optimizer has its state, by what they are for."
    dtype = dict(fp32=None, fp16=torch.bfloat16)[precision]  # on a CPU, 16 bits are bf16: as many bytes
    model = BiomassModel(backbone, img_size=size).train()
    if checkpointing: model.backbone.set_grad_checkpointing()
    with FakeTensorMode() as mode:
        without_content(model, mode)
        opt = torch.optim.AdamW(model.parameters(), 1e-4)
        for p in model.parameters(): p.grad = torch.zeros_like(p)
        opt.step()  # makes its state
        opt.zero_grad()
        tracker = MemTracker()
        tracker.track_external(model, opt)
        left, right, grams = torch.randn(bs, 3, size, size), torch.randn(bs, 3, size, size), torch.rand(bs, 5)
        with tracker:
            with torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
                preds = model(left, right)
            torch.nn.functional.mse_loss(preds, grams).backward()
            opt.step()
        peak = tracker.get_tracker_snapshot('peak')[torch.device('cpu')]
    return {str(getattr(k, 'value', k)): v for k, v in peak.items()}


def rows(quick):
    "A row for each backbone, precision and use of checkpointing."
    cfg = make_config('gold')
    sizes = {o['name']: o['img_size'] or cfg.img_size for o in BACKBONES.values()}
    for name, size in ({'test_vit': 64} if quick else sizes).items():
        for precision in ('fp32', 'fp16'):
            for checkpointing in (False, True):
                peak = step_memory(name, size, cfg.bs, precision, checkpointing)
                yield dict(backbone=name, img_size=size, bs=cfg.bs, precision=precision,
                           checkpointing=checkpointing, **{k: v/GB for k, v in peak.items()})


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', type=Path, help='csv file to write')
    p.add_argument('--quick', action='store_true', help='a tiny network, to see that the script works')
    o = p.parse_args()
    warnings.simplefilter('ignore')
    table = []
    for row in rows(o.quick):
        table.append(row)
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    if o.out: pd.DataFrame(table).to_csv(o.out, index=False, float_format='%.3f', lineterminator='\n')
