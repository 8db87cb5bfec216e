"""Removes specular highlights in a browser: an interface on this machine.

python demo.py                                  then open http://127.0.0.1:7860
python demo.py --infer_model Nature.mdl runs/mine
python demo.py --host 0.0.0.0 --port 80         for other machines too
"""

import sys
from collections.abc import Sequence

from utils.errors import run
from utils.signals import ended_at_once


def main(argv: Sequence[str] | None = None) -> int:
    with ended_at_once():
        from utils.cli import parse
        from webui.options import DemoOptions, validate_options

        options = validate_options(parse(DemoOptions, argv, prog="demo.py", description=__doc__))
        from webui.server import serve
    return serve(options)


if __name__ == "__main__":
    sys.exit(run(main))
