"The versions that the wheel runs with. nbdev may not be among them."
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ('biomass_nb', 'fastai', 'fastcore', 'torch', 'timm', 'albumentations', 'numpy', 'pandas')

for name in PACKAGES: print(name, version(name))
try: raise SystemExit(f"nbdev {version('nbdev')} is installed; the library must run without it")
except PackageNotFoundError: pass
