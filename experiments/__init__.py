"""Research commands, apart from what users run: ablation, scoreboard, scores on generated scenes."""
