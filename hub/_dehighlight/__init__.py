"""The checkout's packages as `_dehighlight.utils`, `_dehighlight.models`, ...: what hubconf.py loads.

It finds them in the checkout and adds the prefix to their imports as they are read, as the wheel has it in
its files. The folder of this package stays on `sys.path`, so that helper processes and pickles find it, too.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

from renamed_imports import PACKAGES, prefixed

__path__ = [str(Path(__file__).resolve().parents[2])]


class _Loader(SourceFileLoader):
    def source_to_code(self, data: Any, path: Any, **options: Any) -> Any:
        return super().source_to_code(prefixed(data.decode(), str(path), __name__).encode(), path, **options)

    def path_stats(self, path: str) -> Any:
        """No cached bytecode: that of the checkout itself has other imports."""
        raise OSError


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        if root != __name__ or rest.partition(".")[0] not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


sys.meta_path.insert(0, _Finder())
