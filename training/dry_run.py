"""--dry_run: what a run would do, and nothing done."""

from dataclasses import asdict

import yaml

from training.run import Run

BYTES = 4  # of a number in fp32
HELD = 4  # numbers a parameter while AdamW trains: itself, its gradient, two moments


def describe(run: Run) -> str:
    """The resolved configuration, the data, the parameters, the memory for them, and the steps, as text."""
    options, machine, samples = run.options, run.machine, run.samples
    lines = [yaml.safe_dump(asdict(options), sort_keys=False, allow_unicode=True).rstrip(), ""]
    endless = options.dataroot is None and not options.overfit
    lines.append(
        f"training: {'synthetic scenes without end, ' if endless else ''}{samples.epoch} samples an epoch"
    )
    lines += [f"validation {name}: {len(pictures)} samples" for name, pictures in samples.validation.items()]
    lines.append(f"{samples.selection} chooses the best checkpoint, by {run.recipe.selection[0]}")
    parameters = {
        name: sum(parameter.numel() for parameter in network.parameters())
        for name, network in run.bare.items()
    }
    lines += [f"{name}: {count:,} parameters" for name, count in parameters.items()]
    numbers = HELD * sum(parameters.values()) + bool(run.average) * parameters["model"]
    lines.append(
        f"memory: {numbers * BYTES / 2**20:,.0f} MiB a process for weights, gradients, moments and average; "
        "activations come on top"
    )
    lines.append(
        f"steps: {run.progress.step} done of {run.total}, a joint batch of {run.joint_batch} on "
        f"{machine.world} process(es), {machine.device}, {options.precision}; validation every "
        f"{run.val_every} steps"
    )
    lines.append(f"would write to {run.folder}; nothing was written")
    return "\n".join(lines)
