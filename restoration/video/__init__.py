"""Clips: frames through a remover and back into a file of the same kind, smoothed over time.

Needs PyAV (extra `video`), which is imported with the modules of this package and not before.
"""
