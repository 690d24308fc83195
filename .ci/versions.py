"Show the versions that the wheel runs with, and that nbdev is not among them."
from importlib.metadata import PackageNotFoundError, version

for name in ('biomass_nb', 'fastai', 'fastcore', 'torch', 'timm', 'albumentations', 'numpy', 'pandas'): print(name, version(name))
try: raise SystemExit(f"nbdev {version('nbdev')} is installed; the library must run without it")
except PackageNotFoundError: pass
