"""`python -m core …` in this process: what it prints and the code it ends with. A process of its own costs seconds."""

import contextlib
import io
import sys
from unittest import mock

from core.cli.main import main


def command(*words: object) -> tuple[int, str, str]:
    """(code, standard output, standard error)."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["core", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main()
    return code, out.getvalue(), err.getvalue()
