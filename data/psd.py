"""PSD (Wu et al., TMM 2021): photographs through a polariser, in groups of angles and in pairs."""

from pathlib import Path

from data.layouts import Found


def psd(folder: Path) -> Found:
    return Found()
