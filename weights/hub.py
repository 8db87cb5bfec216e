"""Weights on the Hugging Face Hub: a repository of `model.safetensors` and a model card, README.md.

Needs the package huggingface_hub, which is imported when something is up- or downloaded.
"""

import os
from pathlib import Path
from typing import Any

from torch import nn

from utils.atomic import write_bytes
from utils.errors import UserError, first_line, reason

WEIGHTS, CARD = "model.safetensors", "README.md"

_CARD = """---
library_name: dehighlight
pipeline_tag: image-to-image
tags:
- specular-highlight-removal
- image-restoration
- {name}
---

# {name}: removing specular highlights from pictures

A network of {parameters:,} parameters that separates a picture into its diffuse and its specular layer.

```python
from dehighlight import HighlightRemover

remover = HighlightRemover.from_pretrained("{repository}")
result = remover("photo.jpg")  # result.diffuse, .specular, .highlight
```
"""


def download(repository: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """The weight file of a repository "OWNER/NAME", from the local cache where it is there already.

    Raises UserError where there is no such repository or file, and without a network.
    """
    hub = _hub()
    try:
        return Path(hub.HfApi(token=token).hf_hub_download(repository, WEIGHTS, revision=revision))
    except _errors(hub) as error:
        raise UserError(f"cannot download {WEIGHTS} of {repository}: {first_line(error)}") from error


def upload(folder: Path, repository: str, *, private: bool | None, token: str | None, message: str) -> str:
    """Uploads the files of a folder to "OWNER/NAME", making it where it does not exist; returns its URL.

    Raises UserError where that fails.
    """
    hub = _hub()
    api = hub.HfApi(token=token)
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except _errors(hub) as error:
        raise UserError(f"cannot upload to {repository}: {first_line(error)}") from error
    return str(url)


def write_card(
    network: nn.Module, path: Path, card: str | os.PathLike | None = None, repository: str = "OWNER/NAME"
) -> None:
    """Writes the model card of a network: the file `card`, or one of what the network says of itself.

    Raises UserError where `card` cannot be read.
    """
    if card is None:
        parameters = sum(parameter.numel() for parameter in network.parameters())
        text = _CARD.format(name=network.spec.name, parameters=parameters, repository=repository).encode()
    else:
        try:
            text = Path(card).read_bytes()
        except OSError as error:
            raise UserError(f"cannot read the model card {card}: {reason(error)}") from error
        if not text.startswith(b"---\n"):
            raise UserError(f"the model card {card} does not begin with the Hub's YAML front matter (---)")
    write_bytes(path, text)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError("the Hugging Face Hub needs another package: pip install huggingface_hub") from error
    return huggingface_hub


def _errors(hub: Any) -> tuple[type[Exception], ...]:
    # No connection and answers of the server, impossible names, files that cannot be written.
    return hub.errors.HTTPError, hub.errors.HFValidationError, OSError
