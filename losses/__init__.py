"""The losses: tensors in, scalars out. Each states its equation; each is a mean over samples and pixels.

A module is imported when it is first named, as in `losses.content.content(...)`, and torch with it: the
tables of losses are needed for --help, which must not import torch.
"""

import pkgutil

import lazy_loader

MODULES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=MODULES)
