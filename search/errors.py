"""What the user can mend: one clear line and an exit status, never a traceback."""


class SearchError(Exception):
    """Wrong words, a wrong file, missing data: the message names the place and the remedy."""

    exit_status = 2


class StorageFailed(SearchError):
    """The storage or the disk gave up in the middle of a run."""

    exit_status = 3


class NothingCompleted(SearchError):
    """A run ended without one completed trial."""

    exit_status = 1
