"""Commands for development and research; `python -m COMMAND --help` has the options of each.

    python benchmark.py                                     # speed and memory of the networks
    python -m tools.classical_methods                       # classical methods: time, memory, accuracy
    python -m tools.scoreboard --data ../shared/data        # shipped weights on all real pairs at hand
    python -m tools.scene_scores --scenes runs/scenes --methods savedmodel/aha-lite.safetensors

results/ holds what benchmark.py and tools.classical_methods measured, by machine.
"""

from utils.errors import explain_missing_packages

explain_missing_packages()
