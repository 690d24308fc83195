"""Every notebook from top to bottom, several side by side: which pass, and how long each takes.

    python .ci/notebooks.py                    # all
    python .ci/notebooks.py 04_tta report/     # those with one of these words in their path

nbdev's own `test_nb` runs the cells, so `nbdev_test` gives the same verdicts. This runner is quicker, for two
reasons, and says where the time goes.

- As many notebooks run side by side as there are cores, with one thread each, the longest first. Two threads
  do not make small trainings faster. One thread everywhere also lets a training in a notebook and one in its
  subprocess give the same bytes.
- A notebook has a process of its own, so that no setting of one reaches the next. These processes fork from a
  server that has imported torch, fastai and timm, so that none of them waits for that.
- The table has the seconds on the clock, those of computation, and those of computation in subprocesses. The
  latter two do not depend on what else the machine does.
"""
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from multiprocessing.connection import wait
from pathlib import Path

from library import ROOT, notebooks

SETTINGS = dict(OMP_NUM_THREADS='1', TQDM_DISABLE='1', PYTHONWARNINGS='ignore', NO_ALBUMENTATIONS_UPDATE='1')
PRELOAD = ['torch', 'timm', 'albumentations', 'matplotlib.pyplot', 'sklearn.linear_model', 'scipy.stats',
           'nbdev.test', 'nbdev.showdoc']
# fastai starts CUDA when it is imported, and CUDA does not survive a fork.
if not Path('/dev/nvidiactl').exists(): PRELOAD.append('fastai.vision.all')


def cores():
    "Cores that this process may use, at most eight, as in nbdev_test."
    return min(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(), 8)


def work(path):
    "A guess of how long a notebook takes: the length of its code. It need only be good enough to start with."
    cells = json.loads((ROOT/'nbs'/path).read_text())['cells']
    return sum(len(''.join(c['source'])) for c in cells if c['cell_type'] == 'code')


def run(path, answer):
    "Run one notebook in this process. Sends (passed, seconds, computation here, that of subprocesses)."
    from nbdev.config import get_config
    from nbdev.test import test_nb
    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]   # a notebook sees none of our scripts
    os.chdir(ROOT/'nbs')
    start = time.time()
    passed, _ = test_nb(ROOT/'nbs'/path, skip_flags=get_config().tst_flags.split(), basepath=ROOT)
    used = [sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    answer.send((passed, time.time() - start, *used))


def run_all(paths, workers):
    "Run notebooks, `workers` at a time. Yields (path, passed, seconds, …) as each ends."
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOAD)
    waiting, running = sorted(paths, key=work), {}
    while waiting or running:
        while waiting and len(running) < workers:
            path, (here, there) = waiting.pop(), context.Pipe(duplex=False)
            process = context.Process(target=run, args=(path, there))
            process.start()
            there.close()
            running[process.sentinel] = path, process, here
        for ended in wait(running):
            path, process, here = running.pop(ended)
            process.join()
            try: yield path, *here.recv()
            except EOFError:
                print(f'{path}: its process ended with exit code {process.exitcode}', file=sys.stderr)
                yield path, False, 0, 0, 0


def table(results):
    "Seconds by notebook, the longest first."
    yield ' seconds  computation  in subprocesses'
    row = '{:8.0f} {:12.0f} {:16.0f}  {}'.format
    for path, _, *seconds in sorted(results, key=lambda o: -o[2]): yield row(*seconds, path)
    yield row(*(sum(o[i] for o in results) for i in (2, 3, 4)), 'all')


def main(words=(), workers=None):
    "Run the notebooks that have one of `words` in their path. Returns {path: passed}."
    start, results, workers = time.time(), [], workers or cores()
    paths = [p for p in notebooks() if not words or any(word in p.as_posix() for word in words)]
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= dict(SETTINGS, BIOMASS_NB_CACHE=cache)   # notebooks share what is kept there
        for result in run_all(paths, workers):
            path, passed, seconds, *_ = result
            results.append(result)
            print(f"{seconds:8.0f} s  {path}{'' if passed else ' FAILED'}", flush=True)
    print(*table(results), sep='\n')
    print(f'{time.time() - start:.0f} s in all, {workers} notebooks at a time', flush=True)
    return {path: passed for path, passed, *_ in results}


if __name__ == '__main__':
    results = main(sys.argv[1:])
    sys.exit(not results or not all(results.values()))
