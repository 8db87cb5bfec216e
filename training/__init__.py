"""The training loop and what it needs: options, the stream of samples, checkpoints, run folders."""
