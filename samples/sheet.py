"""The picture at the top of the README: the demo's comparison sheets one under the other.

make demo && python -m samples.sheet demo docs/before_after.jpg
"""

import sys
from pathlib import Path

import numpy as np

from utils import cli
from utils.errors import UserError
from utils.image_files import read_rgb, write_rgb


def main() -> int:
    if len(sys.argv) != 3:
        raise UserError("python -m samples.sheet DEMO_FOLDER PICTURE")
    folder, picture = Path(sys.argv[1]), Path(sys.argv[2])
    sheets = sorted(folder.glob("*-comparison.png"))
    if not sheets:
        raise UserError(f"{folder} holds no NAME-comparison.png; run make demo")
    rows = [read_rgb(sheet) for sheet in sheets]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=1) for row in rows]
    write_rgb(picture, np.concatenate(padded))
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
