"""From a picture to a picture: a separation method applied at the picture's own resolution and depth."""

from restoration.methods import load_method
from restoration.remover import HighlightRemover, Restored

__all__ = ["HighlightRemover", "Restored", "load_method"]
