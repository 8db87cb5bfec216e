"""Research commands, apart from what users run. `python -m COMMAND --help` has the options of each.

    python -m experiments.scoreboard --data ../shared/data      # shipped weights on all real pairs at hand
    python -m experiments.scene_scores --scenes runs/scenes --methods savedmodel/aha-lite.safetensors
    python -m experiments.ablation --scenes runs/scenes --out runs/ablation      # variants on equal budgets
    python -m experiments.flicker       # what is removed from a still scene with noise, frame by frame

Commands of other packages that users run:

    python -m synthetic --out runs/scenes --train 20000 --test 300      # render scenes
    python -m data.check --dataroot FOLDER                              # what is wrong with a data set
    python -m data.lists --dataroot FOLDER --folders A B --out ALL.lst  # TSHRNet's list files
    python -m data.tone_correction --dataroot FOLDER                    # targets of TSHRNet's third stage
    python -m weights.average CHECKPOINT CHECKPOINT OUT.safetensors     # the mean of checkpoints

and measurements of speed (benchmarks/):

    python benchmark.py                        # networks: inference and training step, beside a plain path
    python -m benchmarks.classical_methods     # classical methods: time, memory, accuracy
    python -m benchmarks.scoring_speed         # evaluate.py itself
    python -m benchmarks.training_throughput   # images per second of whole training runs
"""
