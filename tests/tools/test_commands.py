"""What holds for every command of evaluation and tools."""

import subprocess
import sys
from pathlib import Path

MODULES = (
    "evaluate",
    "benchmark",
    "tools.scene_scores",
    "tools.scoreboard",
)


def test_help_does_not_wait_for_torch() -> None:
    code = f"import sys, importlib\nfor name in {MODULES!r}:\n"
    code += "    try: importlib.import_module(name).main(['--help'])\n    except SystemExit: pass\n"
    code += "    print(name, sorted({'torch', 'scipy', 'skimage', 'matplotlib'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.count("usage: ") == len(MODULES)
    for name in MODULES:
        assert f"\n{name} []\n" in run.stdout
