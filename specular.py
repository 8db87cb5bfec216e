"""The import name and command of a checkout until release 0.1: `dehighlight` replaces it.

On PyPI other distributions own `specular`; the installed package never had this file. To be deleted after the
next release.
"""

import warnings

from dehighlight import __all__, __getattr__, main  # noqa: F401

warnings.warn(
    "`specular` is called `dehighlight` now: from dehighlight import HighlightRemover, python dehighlight.py",
    FutureWarning,
    stacklevel=2,
)

if __name__ == "__main__":
    main()
