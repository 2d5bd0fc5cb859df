"""The `search` command. Heavy imports live inside the verbs, so that --help is instant."""

from __future__ import annotations

import os
import sys

from search.cli import runs, studies  # noqa: F401 - which add their verbs to the app
from search.cli.words import app
from search.errors import SearchError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; whatever the user can mend ends as one line on stderr and an exit status."""
    try:
        app()
    except SearchError as error:
        print(f"search: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("\nsearch: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `search report STUDY | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
