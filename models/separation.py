"""What every method returns: an image taken apart into a diffuse and a specular layer."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Separation:
    """Layers of a batch of images; `diffuse + specular = image`.

    diffuse    (B, 3, H, W)  the image without its highlights; about [0, 1], not clamped
    specular   (B, 3, H, W)  what was taken away, image - diffuse
    highlight  (B, 1, H, W)  where and how strongly: the highlight map A of the AHA network (zero leaves
                             a pixel as it was), the largest |specular| of a pixel for other networks
    stages     intermediate results by name; each network's forward lists its own
    """

    diffuse: Tensor
    specular: Tensor
    highlight: Tensor
    stages: dict[str, Tensor] = field(default_factory=dict)


def compose(image: Tensor, highlight: Tensor, content: Tensor) -> Tensor:
    """The composition of the improved dichromatic model: D = (1 - A) I + A N.

    image (B, 3, H, W), highlight A (B, 1, H, W), content N (B, 3, H, W). The specular layer is
    S = I - D = A (I - N).
    """
    return (1 - highlight) * image + highlight * content
