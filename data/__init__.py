"""Data sets: samples and batches, one layout a file; transforms, tone correction, data.check."""

from utils.errors import explain_missing_packages

explain_missing_packages()
