"""The one exception that is meant for the user's eyes."""


class UserError(Exception):
    """Something the user can put right: the message names the file or option and the way out.

    Entry points print it as one line on stderr and exit with code 2, without a traceback.
    """
