"""How options are shown in --help and in errors: in words and choices, not in Python's types."""

import re
import typing
from argparse import SUPPRESS, Action, RawDescriptionHelpFormatter
from typing import Any, Literal, NoReturn

from jsonargparse import ActionYesNo, ArgumentParser, DefaultHelpFormatter

from utils.errors import named_commands

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


class HelpFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the description, and says of each option what it does, whether it is required,
    and its default where that is a value (a switch is off unless it says otherwise)."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if action.required:
            return f"{text} (required)"
        if isinstance(action, ActionYesNo):
            return f"{text} (default: on)" if action.default else text
        if action.default in (None, SUPPRESS, "", []) or not action.option_strings:
            return text
        if isinstance(action.default, list):
            words = " ".join(map(str, action.default)).replace("%", "%%")
            return f"{text} (default: {words})"
        return f"{text} (default: %(default)s)"

    def _format_action_invocation(self, action: Action) -> str:
        if isinstance(action, ActionYesNo):
            return ", ".join(action.option_strings)
        return super()._format_action_invocation(action)


class Parser(ArgumentParser):
    """A parser whose errors are one line on stderr, before exit code 2."""

    kinds: dict[str, type]
    """type of each option, by name"""

    def format_help(self, *args: Any, **options: Any) -> str:
        return named_commands(super().format_help(*args, **options))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        key = re.match(r'Parser key "(\w+)"', message)
        given = re.search(r"(?:Given|Got) value: (.*)", message)
        if key and given and key[1] in self.kinds:
            message = f"--{key[1]} takes {expected(self.kinds[key[1]])}, not {given[1]}"
        message = re.sub(
            r"argument (--\w+).*: invalid _boolean.*: '(.*)'", r"\1 takes true or false, not \2", message
        )
        message = re.sub(r'^Parser key "(\w+)":', r"--\1:", message)
        self.exit(2, f"error: {named_commands(' '.join(message.split()))}\n")


def expected(kind: type) -> str:
    """What an option of a type takes, in words: "native or released", "a whole number"."""
    choices = [choice for choice in typing.get_args(kind) if choice is not type(None)]
    if typing.get_origin(kind) is Literal:
        *most, last = map(str, choices)
        return f"{', '.join(most)} or {last}" if most else last
    if typing.get_origin(kind) is list:
        return f"one or more, each {expected(choices[0])}"
    if choices:  # a union
        return " or ".join(expected(choice) for choice in choices)
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))
