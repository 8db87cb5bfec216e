"""A hash of what a file of weights holds, kept inside the file, so that damage is noticed.

A flipped bit in a weight gives another number, not an unreadable file: only a stored hash can tell.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def content_hash(content: object) -> str:
    """SHA-256, in hexadecimal, of nested mappings, sequences, tensors, numbers, strings, bytes and None.

    Depends on values, types and shapes, not on the order of a mapping's keys nor on a tensor's strides or
    device; tuples and lists count as equal. Raises TypeError for anything else.
    """
    digest = hashlib.sha256()
    _add(digest, content)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", content: object) -> None:
    # Every part is preceded by its kind and its length, so that no two contents give the same bytes.
    if isinstance(content, Tensor):
        digest.update(f"tensor {content.dtype} {tuple(content.shape)} ".encode())
        flat = content.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    elif isinstance(content, Mapping):
        digest.update(f"mapping {len(content)} ".encode())
        for key in sorted(content, key=lambda key: (type(key).__name__, key)):
            _add(digest, key)
            _add(digest, content[key])
    elif isinstance(content, list | tuple):
        digest.update(f"sequence {len(content)} ".encode())
        for item in content:
            _add(digest, item)
    elif isinstance(content, str | bytes):
        data = content.encode() if isinstance(content, str) else content
        digest.update(f"{type(content).__name__} {len(data)} ".encode() + data)
    elif content is None or isinstance(content, bool | int | float):
        digest.update(f"{type(content).__name__} {content!r} ".encode())
    else:
        raise TypeError(f"no hash of a {type(content).__name__}")
