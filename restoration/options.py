"""The options of infer.py."""

import os
from dataclasses import dataclass, field, replace
from typing import Literal

from utils.errors import UserError
from utils.image_files import MAX_PIXELS, WRITERS

EPILOG = """exit codes: 0 all pictures and clips done or skipped; 1 some failed (each is named); 2 nothing
to do or a wrong option; 130 interrupted"""


@dataclass
class InferOptions:
    """Options of infer.py."""

    input_dir: str = field(metadata={"flags": ["-i"]})
    """folder of pictures and clips, a single picture or clip, or a quoted glob such as 'shots/*.png'"""
    output_dir: str = field(metadata={"flags": ["-o"]})
    """folder of the results; it is made where it does not exist"""
    infer_model: str | None = None
    """weights: our .safetensors, a run folder or checkpoint of train.py, the authors' .mdl, a folder with
    TSHRNet's four .pth or .ckpt files, or an .onnx of export.py; default: savedmodel/aha-lite.safetensors"""
    method: str | None = None
    """a classical method (shen2013, yang2010, ...), input (nothing removed), or the name of the network
    where the weight file does not say it (aha, aha-figure, aha-lite, tshrnet, tshrnet-mix)"""
    protocol: Literal["native", "released"] = "native"
    """native: the picture's own resolution and depth, pixels without highlight stay bit for bit; released:
    the authors' arithmetic (resized to a square of 224 or 448 pixels without keeping the aspect ratio,
    resized back, truncated to 8 bits), in which --strength, --tile, --working_size and --exposure have no
    part"""
    output: Literal["tone_corrected", "diffuse"] | None = None
    """TSHRNet only: which of its stages is the result"""
    backend: Literal["torch", "onnxruntime"] | None = None
    """what runs the network: for onnxruntime other weights than an .onnx are exported into
    ~/.cache/dehighlight when first used. Default: onnxruntime for an .onnx, else torch"""
    device: str = "auto"
    """where to compute: auto, cpu, cuda, cuda:1, mps"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the GPU or processor computes in it and a probe picture proves it close, else fp32"""
    tta: int | None = field(default=None, metadata={"flags": ["--test_time_augmentation"]})
    """test-time augmentation: remove only what the network also finds in the mirrored picture (2) and at
    half its size (4); fewer mistakes on painted things, less removal, 2 or 2.5 times the network's time.
    1: without. Default: by the network (aha-lite 2, others 1)"""
    working_size: str | None = None
    """longer side in pixels to which larger pictures are reduced for the network; the specular layer is
    then brought back up, guided by the picture; full: no reduction; default: by the network (aha-lite 256)"""
    exposure: float | None = None
    """what a picture is multiplied by for the network, at least 1; the result keeps the picture's own
    brightness. Default: what brings dark pictures to the brightness that the network knows; 1: nothing"""
    strength: float = 1.0
    """from 0 (nothing) to 1.5: how much of the specular layer found is removed; more than 1 where a highlight
    shimmers through"""
    smoothing_frames: int = 8
    """clips: frames over which the specular layer is averaged where the picture stands still, against
    flicker; 1: every frame alone"""
    tile: int | None = None
    """side of the tiles of large pictures, in pixels; 0: no tiles; default: by the network (448 to 1024)"""
    tile_overlap: int | None = None
    """pixels shared by neighbouring tiles; default: a quarter of the tile"""
    batch_size: int = 1
    """tiles or equal-sized pictures together, on a GPU; on the CPU each goes alone, which is as fast"""
    workers: int | None = None
    """tiles at once on the CPU, and the cores that they use; default: all cores, and at most 2 tiles, which
    bounds memory"""
    skip_tiles: bool = True
    """leave most of the network out on tiles without highlights; the pixels are the same"""
    recursive: bool = False
    """take also the pictures in the folders inside; the output folder mirrors them"""
    skip_existing: bool = False
    """leave out pictures whose results all exist"""
    suffix: str = "-removed"
    """what is put behind the name of a result"""
    ext: str | None = None
    """format of the results: png, jpg, tif, webp, bmp, or auto for the format of each picture (PNG where it
    cannot be written). Default: auto; png with --protocol released"""
    save_highlight: bool | None = None
    """write NAME-HFE.png, the highlight map, also. Default: off; on with --protocol released"""
    save_specular: bool = False
    """write NAME-specular.png, the layer that was removed, also"""
    comparison: bool = False
    """write NAME-comparison.png also: picture, highlight map, specular layer and result side by side"""
    max_pixels: int = MAX_PIXELS
    """refuse pictures of more pixels, and keep no more in memory at once over all workers"""
    limit: int | None = None
    """take only so many pictures, the first ones"""
    dry_run: bool = False
    """print what would be done and write nothing"""

    @property
    def working_pixels(self) -> int | None:
        """`working_size` as `HighlightRemover` takes it."""
        if self.working_size is None:
            return None
        return 0 if self.working_size == "full" else int(self.working_size)

    @property
    def extras(self) -> list[str]:
        """The files wanted beside each result."""
        wanted = {
            "highlight": self.save_highlight,
            "specular": self.save_specular,
            "comparison": self.comparison,
        }
        return [kind for kind, save in wanted.items() if save]


def validate_options(options: InferOptions) -> InferOptions:
    """`options` with what was left open decided. Raises UserError for values that make no sense."""
    released = options.protocol == "released"
    ext = (options.ext or ("png" if released else "auto")).lower().removeprefix(".")
    if ext != "auto" and f".{ext}" not in WRITERS:
        known = ", ".join(suffix[1:] for suffix in WRITERS)
        raise UserError(f"--ext {ext} cannot be written: choose auto, {known}")
    if set(options.suffix) & set("/\\\0"):
        raise UserError(f"--suffix {options.suffix!r} must not name a folder")
    if options.infer_model and not os.path.exists(options.infer_model):
        raise UserError(f"no such weight file: {options.infer_model}")
    if options.working_size not in (None, "full") and not options.working_size.isdecimal():
        raise UserError(f"--working_size {options.working_size} is neither a number of pixels nor full")
    for name in ("limit", "batch_size", "workers", "max_pixels", "smoothing_frames"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, not {value}")
    highlight = released if options.save_highlight is None else options.save_highlight
    return replace(options, ext=ext, save_highlight=highlight)
