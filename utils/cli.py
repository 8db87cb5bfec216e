"""Command lines: a typed dataclass of options in, an instance out; errors as one sentence."""

import dataclasses
import inspect
import sys
import typing
from collections.abc import Sequence
from typing import TypeVar

import docstring_parser
from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentParser

from utils.errors import run

__all__ = ["build_parser", "parse", "run"]

Options = TypeVar("Options")


def parse(
    options: type[Options],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
    epilog: str = "",
) -> Options:
    """Parses `argv` (default: the process's own) into an instance of the dataclass `options`.

    Each field is an option `--name`; the docstring below the field is its help. A bool field is a
    switch (`--x`, `--x false`, `--no_x`), a list field takes one or more words. Adds `--config FILE`
    (YAML with the same names) and `--print_config`. An unknown option, an unknown key of a config
    file or a value of a wrong type prints a sentence on stderr and exits with code 2.
    """
    parser = build_parser(options, prog=prog, description=description, epilog=epilog)
    namespace = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
    return options(**{field.name: namespace[field.name] for field in dataclasses.fields(options)})


def build_parser(options: type, *, prog: str, description: str, epilog: str = "") -> ArgumentParser:
    """The parser behind `parse`."""
    parser = ArgumentParser(prog=prog, description=description, epilog=epilog)
    parser.add_argument(
        "--config", action=ActionConfigFile, help="YAML file of options; those given after it win"
    )
    types, helps = typing.get_type_hints(options), _field_docstrings(options)
    for field in dataclasses.fields(options):
        _add_field(parser, field, types[field.name], helps.get(field.name, ""))
    return parser


def _field_docstrings(options: type) -> dict[str, str]:
    # The parser sees one class body at a time; options may be inherited.
    bodies = [cls for cls in reversed(options.__mro__) if dataclasses.is_dataclass(cls)]
    params = [param for cls in bodies for param in docstring_parser.parse_from_object(cls).params]
    return {param.arg_name: inspect.cleandoc(param.description or "") for param in params}


def _add_field(parser: ArgumentParser, field: dataclasses.Field, kind: type, text: str) -> None:
    keywords: dict = {"help": text.replace("%", "%%")}
    if field.default is not dataclasses.MISSING:
        keywords["default"] = field.default
    elif field.default_factory is not dataclasses.MISSING:
        keywords["default"] = field.default_factory()
    else:
        keywords["required"] = True
    if type(None) in typing.get_args(kind):
        # "x | None = None" is written like x; None is what it is when left out.
        inner = [choice for choice in typing.get_args(kind) if choice is not type(None)]
        if inner == [bool] or typing.get_origin(inner[0]) is list:
            kind = inner[0]
    if kind is bool:
        # nargs "?" lets the switch also be written with a value, as the released commands do.
        keywords |= {"action": ActionYesNo(yes_prefix="", no_prefix="no_"), "nargs": "?"}
    elif typing.get_origin(kind) is list:
        keywords |= {"nargs": "+", "type": typing.get_args(kind)[0]}
    else:
        keywords["type"] = kind
    parser.add_argument(f"--{field.name}", **keywords)
