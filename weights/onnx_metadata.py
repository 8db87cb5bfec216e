"""What an ONNX file of ours says about itself: enough to run it on pictures without the network's code.

Each fact is one entry of the file's metadata, as text:

    format                            FORMAT
    network, multiple, has_map        of models.ModelSpec; JSON, but for the name
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

FORMAT = "specular-highlight-removal onnx 2"
ONNX_PRECISIONS = ("fp32", "fp16", "int8")
NO_HASH = "0" * 64
MARK = b"\n\x06sha256\x12\x40"
"""The bytes before the hash in a file: its name and its length, as protobuf writes them."""
FACTS = ("multiple", "has_map")
LARGEST_MULTIPLE = 4096


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
            f"{path} is not an ONNX file of export.py, or of an older version: it does not say which "
            "network it holds and how pictures are prepared for it; export.py writes files that do"
        )
    before, hashed, after = _parts(content)
    if hashlib.sha256(before + NO_HASH.encode() + after).hexdigest().encode() != hashed:
        raise UserError(f"{path} is damaged: its content does not match its checksum; export it again")
    return content


def _parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """The bytes before the hash, the hash, and the bytes after it. The last mark counts: the metadata
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
    if name == "has_map":
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_MULTIPLE
