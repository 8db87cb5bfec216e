"""What is to be done: which pictures and clips, and which files come of each."""

import glob
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from restoration.options import InferOptions
from utils.atomic import remove_leftovers
from utils.errors import UserError, reason
from utils.image_files import CLIP_SUFFIXES, RAW_FILE, RAW_SUFFIXES, WRITERS, Listing, scan_folder

_MAGIC = "*?["

ENDINGS = {"highlight": "-HFE.png", "specular": "-specular.png", "comparison": "-comparison.png"}
"""Names of the files beside a result, behind the name of the picture."""


@dataclass(frozen=True, eq=False)
class Job:
    """One picture or clip and the files to write for it."""

    source: Path
    outputs: dict[str, Path]
    """"result" always; "highlight", "specular", "comparison" where wanted. A result whose suffix is
    ".auto" takes the format of the picture, which is known when it has been read"""

    @property
    def is_clip(self) -> bool:
        """True for moving pictures."""
        return is_clip(self.source)

    def result(self, format_of_source: str) -> Path:
        """Path of the result for a picture of that format (Pillow's name)."""
        path = self.outputs["result"]
        return path.with_suffix(automatic_suffix(self.source, format_of_source)) if _automatic(path) else path

    def done(self) -> bool:
        """True where every file exists, the result in any format where that is still open."""
        return all(
            any(os.path.isfile(candidate) for candidate in _candidates(self, path))
            for path in self.outputs.values()
        )

    def shown(self) -> str:
        """The files in words, for --dry_run."""
        names = [f"{p.with_suffix('')}.*" if _automatic(p) else str(p) for p in self.outputs.values()]
        return ", ".join(names)


def is_clip(source: Path) -> bool:
    """True for the name of a file of moving pictures."""
    return source.suffix.lower() in CLIP_SUFFIXES


def clip_suffix(source: Path) -> str:
    """The suffix of a clip's result: its own, or that of Matroska, which holds whatever is in the others."""
    return source.suffix if source.suffix.lower() in (".mp4", ".m4v", ".mov", ".mkv", ".webm") else ".mkv"


def automatic_suffix(source: Path, format_of_source: str) -> str:
    """The suffix that keeps a picture's format; .png for formats that would spoil the result (GIF) or
    that cannot be written (HEIC)."""
    own = source.suffix
    if WRITERS.get(own.lower()) == format_of_source:
        return own
    kept = {"JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp"}
    return kept.get(format_of_source, ".png")


def find_pictures(pattern: str, recursive: bool = False) -> tuple[Listing, Path]:
    """Pictures and clips of a folder, a single file or a glob, with what is left out, and the folder that
    output folders mirror. Raises UserError where there is nothing."""
    path = Path(pattern)
    # os.path takes a name longer than the file system allows for one that is not there; Path raises.
    if os.path.isdir(path):
        listing, root = scan_folder(path, recursive), path
        if not (listing.pictures or listing.clips or listing.unreadable):
            hint = "" if recursive else "; the folders inside it are searched only when asked for (recursive)"
            raise UserError(f"no pictures in {path}{_left_out(listing)}{hint}")
        return listing, root
    if os.path.lexists(path):
        found, root = [path], path.parent
    elif any(sign in pattern for sign in _MAGIC):
        files = (Path(name) for name in glob.glob(pattern, recursive=True))
        found, root = sorted(p for p in files if not os.path.isdir(p)), _fixed_part(path)
        if not found:
            raise UserError(f"no file matches {pattern}")
    else:
        raise UserError(f"no such file or folder: {pattern}")
    raw = [path for path in found if path.suffix.lower() in RAW_SUFFIXES]
    clips = [path for path in found if is_clip(path)]
    listing = Listing([path for path in found if path not in raw and not is_clip(path)], raw, clips)
    if not (listing.pictures or listing.clips):
        raise UserError("; ".join(describe_left_out(listing)))
    return listing, root


def describe_left_out(listing: Listing) -> list[str]:
    """A line for each raw file, and one for all others that are not taken for pictures."""
    lines = [f"{path}: {RAW_FILE}" for path in listing.raw]
    if listing.others:
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted(listing.others.items()))
        lines.append(f"{listing.others.total()} files that are no pictures ({kinds})")
    return lines


def plan_jobs(
    pictures: list[Path],
    root: Path,
    output_dir: Path,
    *,
    suffix: str,
    ext: str = "auto",
    extras: Iterable[str] = (),
) -> list[Job]:
    """A job for each picture or clip, in a tree under `output_dir` that mirrors theirs under `root`.

    ext     of pictures: "auto" or a suffix of WRITERS without its dot; clips keep their kind (`clip_suffix`)
    extras  of "highlight", "specular", "comparison"

    Pictures of one folder that differ in their suffix only (a.png, a.jpg) keep it in the names of their
    files (a_png-removed.png, a_jpg-removed.png), twice where another picture is called a_png. Raises
    UserError where two files would still share a name, and where an output would overwrite an input.
    """
    twins = Counter((picture.parent, picture.stem) for picture in pictures)
    jobs = []
    for picture in pictures:
        name = picture.stem
        if twins[picture.parent, picture.stem] > 1 and picture.suffix:
            name = f"{name}_{picture.suffix[1:]}"
            while (picture.parent, name) in twins:  # another picture has that name itself
                name += picture.suffix.replace(".", "_")
        folder = output_dir / picture.parent.relative_to(root)
        ending = clip_suffix(picture) if is_clip(picture) else f".{ext}"
        outputs = {"result": folder / f"{name}{suffix}{ending}"}
        outputs |= {kind: folder / f"{name}{ENDINGS[kind]}" for kind in extras}
        jobs.append(Job(picture, outputs))
    _refuse_clashes(jobs)
    return jobs


def check_folders(input_dir: str, output_dir: Path, recursive: bool) -> None:
    """Raises UserError where results would lie among the pictures of an input folder."""
    source = Path(input_dir)
    if not os.path.isdir(source):
        return
    inside, outside = _real(output_dir), _real(source)
    if inside == outside:
        raise UserError(f"the output folder {output_dir} is the input folder: choose another")
    if recursive and outside in inside.parents:
        raise UserError(
            f"the output folder {output_dir} lies inside the input folder, and the next run would take its "
            "results for pictures: choose one outside"
        )


def prepare_output(folder: Path, jobs: list[Job]) -> None:
    """Makes the output folder and removes what killed runs left in it and in the folders of `jobs`.

    Raises UserError where files cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".tmp-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write into the output folder {folder}: {reason(error)}") from error
    for place in {folder, *(path.parent for job in jobs for path in job.outputs.values())}:
        remove_leftovers(place)


def _left_out(listing: Listing) -> str:
    lines = describe_left_out(listing)
    return f" (left out: {'; '.join(lines)})" if lines else ""


def _fixed_part(pattern: Path) -> Path:
    fixed = Path(pattern.anchor)
    for part in pattern.parts[len(fixed.parts) : -1]:
        if any(sign in part for sign in _MAGIC):
            break
        fixed /= part
    return fixed


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises on links that lead to themselves


def _automatic(path: Path) -> bool:
    return path.suffix == ".auto"


def _candidates(job: Job, path: Path) -> list[Path]:
    """Possible paths of an output: one, or one for each format while that is open."""
    if not _automatic(path):
        return [path]
    return [path.with_suffix(suffix) for suffix in {job.source.suffix, *WRITERS} if suffix]


def _refuse_clashes(jobs: list[Job]) -> None:
    inputs = {_real(job.source) for job in jobs}
    real = {folder: _real(folder) for folder in {p.parent for job in jobs for p in job.outputs.values()}}
    owners: dict[Path, tuple[Job, str]] = {}
    for job in jobs:
        for kind, output in job.outputs.items():
            for path in _candidates(job, output):
                if real[path.parent] / path.name in inputs:
                    raise UserError(
                        f"{path} would overwrite an input picture: choose another suffix or output folder"
                    )
                first, its_kind = owners.setdefault(path, (job, kind))
                if (first, its_kind) != (job, kind):
                    raise UserError(
                        f"the {its_kind} of {first.source} and the {kind} of {job.source} would both "
                        f"become {path}: choose another suffix"
                    )


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
