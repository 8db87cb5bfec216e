"""Which of the clips that were found can be done with the options given, and a sentence for all others."""

from dataclasses import replace
from importlib.util import find_spec

from restoration.options import InferOptions
from utils.errors import UserError
from utils.image_files import Listing

NEEDS_PYAV = "reading clips needs PyAV: pip install av"
RELEASED = "--protocol released is defined for pictures only"
PICTURES_ONLY = ("save_highlight", "save_specular", "comparison")


def without_unusable_clips(listing: Listing, options: InferOptions) -> tuple[Listing, list[str]]:
    """The listing, without its clips where they cannot be done, and what to say about that.

    Among pictures, options of pictures leave clips as they are. Raises UserError where there are clips
    only, and an option is meant for pictures.
    """
    if not listing.clips:
        return listing, []
    alone = not listing.pictures
    obstacle = RELEASED if options.protocol == "released" else NEEDS_PYAV if find_spec("av") is None else None
    if obstacle is not None:
        if alone:
            raise UserError(f"{listing.clips[0]}: {obstacle}")
        count = len(listing.clips)
        return replace(listing, clips=[]), [f"{count} {'clips' if count > 1 else 'clip'}: {obstacle}"]
    given = [f"--{name}" for name in PICTURES_ONLY if getattr(options, name)]
    if options.ext not in (None, "auto"):
        given.append(f"--ext {options.ext}")
    if not given:
        return listing, []
    words = f"{', '.join(given)}: for pictures; a clip gives one clip of its own kind"
    if alone:
        raise UserError(words)
    return listing, [words]
