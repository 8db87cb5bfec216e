"""What the pages say exists: linked files, commands and their options."""

import functools
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob(".github/*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("savedmodel/*.md"),
    )
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python (?:-m (?P<module>[\w.]+)|(?P<script>\w+)\.py)(?P<rest>[^`|\n]*)")
NOT_OURS = {"pip", "venv", "pytest", "ruff", "mypy", "build", "mkdocs", "hatchling", "http"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")


@functools.cache
def options_of(module: str) -> set[str]:
    """What `--help` of a command lists."""
    argv, out = sys.argv, sys.stdout
    text: list[str] = []

    class Captured:
        write, flush = staticmethod(text.append), staticmethod(lambda: None)
        isatty = staticmethod(lambda: False)

    sys.argv, sys.stdout = [module, "--help"], Captured()  # type: ignore[assignment]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit:
        pass
    finally:
        sys.argv, sys.stdout = argv, out
    return set(re.findall(r"(?<![\w-])--?\w+", "".join(text)))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    prose = re.sub(r"`[^`\n]*`", "", text_of(page))
    targets = [link.partition("#")[0] for link in LINK.findall(prose) if "://" not in link]
    assert not [target for target in targets if target and not ((ROOT / page).parent / target).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_headings_lead_somewhere(page: str) -> None:
    for target, _, heading in (link.partition("#") for link in LINK.findall(text_of(page))):
        if heading and "://" not in target:
            linked = ((ROOT / page).parent / target if target else ROOT / page).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.*)$", linked, re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_pages_that_the_code_names_exist() -> None:
    sources = [path for path in ROOT.glob("*/**/*.py") if not path.relative_to(ROOT).parts[0].startswith(".")]
    for path in (*ROOT.glob("*.py"), *sources, ROOT / "Makefile"):
        named = set(re.findall(r"\bdocs/\w+\.md\b", path.read_text(encoding="utf-8")))
        assert not [page for page in named if not (ROOT / page).exists()], path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_exist(page: str) -> None:
    if page == "CHANGELOG.md":
        pytest.skip("names what is gone too")
    for match in COMMAND.finditer(text_of(page)):
        module = match["module"] or match["script"]
        if module.partition(".")[0] in NOT_OURS:
            continue
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), match[0]
        used = set(re.findall(r"(?<![\w-])--\w+", match["rest"].partition("#")[0]))
        if used:
            assert used <= options_of(module), match[0]


def test_contributing_lists_all_commands() -> None:
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    commands = [
        path.relative_to(ROOT)
        for path in (*ROOT.glob("*.py"), *ROOT.glob("[!.]*/*.py"))
        if path.name != "hatch_build.py" and 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    ]
    names = {
        f"python {path}" if len(path.parts) == 1 else ".".join(path.with_suffix("").parts)
        for path in commands
    }
    names = {name.removesuffix(".__main__") for name in names}
    assert not {name for name in names if name not in text}


def test_the_pages_are_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
    pages = list(ROOT.glob("docs/*.md"))
    assert len(pages) <= 10
    assert sum(len(page.read_text(encoding="utf-8").split()) for page in pages) <= 10_000


def test_the_pages_have_the_scores_of_the_card() -> None:
    number = r"([-+]?[\d.]*\d)"
    sets = rf"SHIQ \(3\) {number} dB.*?figures \(3\) {number};.*?laboratory \(2\) {number};"
    card = re.search(
        rf"{sets}.*?MIT Intrinsic \(10\) {number}, .*?worst {number}",
        text_of("savedmodel/aha-lite.md"),
        re.DOTALL,
    )
    assert card
    shiq, figures, laboratory, mit, worst = (float(text) for text in card.groups())
    front = re.search(
        rf"they gain {number} dB on SHIQ \(3 pairs\), {number} on its figures \(3\), {number} on laboratory "
        rf"pictures \(2\) and {number} on MIT Intrinsic \(10; the worst {number}\)",
        re.sub(r"\s+", " ", text_of("README.md")),
    )
    assert front
    assert [float(text) for text in front.groups()] == [shiq, figures, laboratory, mit, worst]
    rows = dict(
        re.findall(r"^\| (input|aha-lite \(default\)) \| (.*) \|$", text_of("docs/RESULTS.md"), re.MULTILINE)
    )
    psnr = {name: [float(cell.split("/")[0]) for cell in row.split(" | ")] for name, row in rows.items()}
    gains = [result - given for given, result in zip(psnr["input"], psnr["aha-lite (default)"], strict=True)]
    assert gains[:4] == pytest.approx([shiq, figures, laboratory, mit], abs=0.06)  # figures of one decimal
