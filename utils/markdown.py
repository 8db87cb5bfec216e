"""Markdown tables."""

from collections.abc import Iterable, Sequence


def markdown_table(
    head: Sequence[object], rows: Iterable[Sequence[object]], *, numeric: bool = False, aligned: bool = False
) -> str:
    """A Markdown table without a final line break; cells are turned into text and their bars escaped.

    head     the column headings
    rows     a sequence of cells each, as many as headings. Raises ValueError where one has another number
    numeric  all columns but the first are aligned to the right
    aligned  cells are padded, so that the source is readable too
    """
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (head, *rows)]
    for line in lines:
        if len(line) != len(head):
            raise ValueError(f"a row of {len(line)} cells in a table of {len(head)} columns: {line}")
    widths = [max(3, *(len(line[i]) for line in lines)) if aligned else 3 for i in range(len(head))]
    right = [numeric and i > 0 for i in range(len(head))]
    rule = [
        "-" * (width - 1) + ":" if is_right else "-" * width
        for width, is_right in zip(widths, right, strict=True)
    ]
    if aligned:
        lines = [
            [
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(line, widths, right, strict=True)
            ]
            for line in lines
        ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))
