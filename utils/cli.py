"""Command lines: a typed dataclass of options in, an instance out; errors as one sentence."""

import dataclasses
import difflib
import inspect
import sys
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

import docstring_parser
import yaml
from jsonargparse import ActionConfigFile, ActionYesNo

from utils.cli_help import HelpFormatter, Parser
from utils.errors import UserError, run
from utils.release import version_line

__all__ = ["build_parser", "parse", "run"]

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def parse(
    options: type[Options],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
    epilog: str = "",
) -> Options:
    """Parses `argv` (default: the process's own) into an instance of the dataclass `options`.

    Each field is an option `--name`; the docstring below the field is its help, `metadata={"flags":
    ["-n"]}` gives it further names. A bool field is a switch (`--x`, `--x false`, `--no_x`), a list field
    takes one or more words; hyphens may stand for underscores.
    Adds `--config FILE` (YAML with the same names), `--print_config` and `--version`. An unknown option,
    an unknown key of a config file or a value of a wrong type prints a sentence on stderr and exits with
    code 2.
    """
    parser = build_parser(options, prog=prog, description=description, epilog=epilog)
    words = _known_options(parser, list(sys.argv[1:] if argv is None else argv))
    namespace = parser.parse_args(words)
    return options(**{field.name: namespace[field.name] for field in dataclasses.fields(options)})


def named_values(words: list[str], option: str) -> dict:
    """["a=1", "b=[2,3]"] -> {"a": 1, "b": (2, 3)}; raises UserError naming `option`."""
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            equals = ""
        if not (name and equals):
            raise UserError(f"`{option}={word}`: give NAME=VALUE")
        values[name] = tuple(value) if isinstance(value, list) else value
    return values


def build_parser(options: type, *, prog: str, description: str, epilog: str = "") -> Parser:
    """The parser behind `parse`; the options of each base class of `options` are a group of --help."""
    required = [f"--{f.name} {f.name.upper()}" for f in dataclasses.fields(options) if _is_required(f)]
    parser = Parser(
        prog=prog,
        usage=" ".join([prog, *required, "[options]"]),
        description=description,
        epilog=epilog,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", action=ActionConfigFile, help="YAML file of options; those given after it win"
    )
    parser.add_argument("--version", action="version", version=version_line())
    types, helps = typing.get_type_hints(options), _field_docstrings(options)
    parser.kinds = types
    groups: dict[type, Any] = {}
    for field in dataclasses.fields(options):
        owner = next(cls for cls in options.__mro__ if field.name in inspect.get_annotations(cls))
        if owner is not options and owner not in groups:
            title = inspect.cleandoc(owner.__doc__ or "").partition("\n\n")[0]
            groups[owner] = parser.add_argument_group(" ".join(title.split()).rstrip("."))
        _add_field(groups.get(owner, parser), field, types[field.name], helps.get(field.name, ""))
    return parser


def _known_options(parser: Parser, words: list[str]) -> list[str]:
    """`words` with --input-dir as --input_dir. Ends the program where an option does not exist."""
    known = [name for action in parser._actions for name in action.option_strings]
    spelled = []
    for word in words:
        name, equals, value = word.partition("=")
        if name.startswith("--") and name != "--" and name not in known:
            name = "--" + name[2:].replace("-", "_")
            if name not in known:
                _refuse_unknown(parser, word.partition("=")[0], known)
        spelled.append(name + equals + value)
    return spelled


def _refuse_unknown(parser: Parser, name: str, known: list[str]) -> NoReturn:
    similar = difflib.get_close_matches("--" + name[2:].replace("-", "_"), known, n=1)
    hint = f"did you mean {similar[0]}?" if similar else "--help lists all options"
    parser.error(f"there is no option {name}; {hint}")


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _field_docstrings(options: type) -> dict[str, str]:
    # The parser sees one class body at a time; options may be inherited.
    bodies = [cls for cls in reversed(options.__mro__) if dataclasses.is_dataclass(cls)]
    params = [param for cls in bodies for param in docstring_parser.parse_from_object(cls).params]
    return {param.arg_name: inspect.cleandoc(param.description or "") for param in params}


def _add_field(parser: Any, field: dataclasses.Field, kind: type, text: str) -> None:
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
        elif typing.get_origin(inner[0]) is Literal:
            keywords["metavar"] = "{" + ",".join(map(str, typing.get_args(inner[0]))) + "}"
    if kind is bool:
        # nargs "?" lets the switch also be written with a value, as the released commands do.
        keywords |= {"action": ActionYesNo(yes_prefix="", no_prefix="no_"), "nargs": "?"}
    elif typing.get_origin(kind) is list:
        keywords |= {"nargs": "+", "type": typing.get_args(kind)[0]}
    else:
        keywords["type"] = kind
    parser.add_argument(f"--{field.name}", *field.metadata.get("flags", ()), **keywords)
