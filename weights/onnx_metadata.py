"""What an ONNX file of ours says about itself: enough to run it on pictures without the network's code.

Each fact is one entry of the file's metadata, as text:

    format                            FORMAT
    network, multiple, tile, ...      of models.ModelSpec the name and FACTS; JSON, but for the name
    precision                         fp32, fp16 or int8: of the weights and the arithmetic
    sha256                            of the file with zeros in this place: a flipped bit is noticed
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from models import ModelSpec
from utils.errors import UserError

FORMAT = "specular-highlight-removal onnx 1"
ONNX_PRECISIONS = ("fp32", "fp16", "int8")
NO_HASH = "0" * 64
MARK = b"\n\x06sha256\x12\x40"
"""What stands before the hash in a file: its name and its length, as protobuf writes them."""
LIMITS = {"multiple": 4096, "tile": 2**31, "tiles_at_once": 64, "working_size": 2**16, "copies": 4}
"""The largest value of each whole number, all of which are at least 1."""
FACTS = (*LIMITS, "composes", "brightest")


def written_facts(spec: ModelSpec, precision: str) -> dict[str, str]:
    """The metadata of a file of the network `spec`, in one of ONNX_PRECISIONS; `seal` the written file."""
    texts = {name: json.dumps(getattr(spec, name)) for name in FACTS}
    return {"format": FORMAT, "network": spec.name, "precision": precision, "sha256": NO_HASH} | texts


def seal(path: Path) -> None:
    """Puts the hash into a file that has the metadata of `written_facts`, also where it had one."""
    content = path.read_bytes()
    before, _, after = _parts(content)
    digest = hashlib.sha256(before + NO_HASH.encode() + after).hexdigest()
    path.write_bytes(before + digest.encode() + after)


def read_sealed(path: Path) -> bytes:
    """The content of a file that `seal` has sealed.

    Raises UserError where there is no such file, and for one that is damaged or not ours.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    content = path.read_bytes()
    if MARK not in content:
        raise UserError(
            f"{path} is no ONNX file of ours, or of an older version: it does not say which network it holds "
            "and how pictures are prepared for it; export.py writes files that do"
        )
    before, hashed, after = _parts(content)
    if hashlib.sha256(before + NO_HASH.encode() + after).hexdigest().encode() != hashed:
        raise UserError(f"{path} is damaged: its content is not what its checksum says; export it again")
    return content


def _parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the hash, the hash, and what stands behind it. The last mark counts: the metadata
    come after the network."""
    start = content.rindex(MARK) + len(MARK)
    end = start + len(NO_HASH)
    return content[:start], content[start:end], content[end:]


def read_facts(texts: Mapping[str, str], path: str | os.PathLike) -> tuple[ModelSpec, str]:
    """The network and the precision that the metadata of a file tell; the spec has no hyper-parameters.

    Raises UserError naming `path` for a file of another version, or whose metadata make no sense.
    """
    if texts.get("format") != FORMAT:
        raise UserError(f"{path} was written by another version of this program; export it again")
    try:
        values = {name: json.loads(texts[name]) for name in FACTS}
        network, precision = texts["network"], texts["precision"]
    except (KeyError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: what it says of its network is damaged or missing") from error
    wrong = [name for name, value in values.items() if not _is_possible(name, value)]
    if wrong or precision not in ONNX_PRECISIONS:
        odd = (wrong or ["precision"])[0]
        raise UserError(f"{path}: its {odd} is {str(texts[odd])[:60]}, which no network can have")
    return ModelSpec(network[:80], {}, **values), precision


def _is_possible(name: str, value: object) -> bool:
    if name == "composes":
        return isinstance(value, bool)
    if name == "brightest":
        return isinstance(value, int | float) and 0 <= value <= 1
    if value is None:
        return name == "working_size"
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LIMITS[name]
