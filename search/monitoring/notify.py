"""A word to people who do not watch: sent by apprise (the extra `notify`) when a run ends."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

from search.errors import SearchError, option, visible


def hidden(url: str) -> str:
    """What may be shown of a notification's address: its service. Any part of the rest may be the secret."""
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://..." if separator and scheme.replace("+", "").isalnum() else "..."


class Notices:
    """Sends to each of the addresses `urls`, written as https://github.com/caronc/apprise has them."""

    def __init__(self, urls: Sequence[str] = ()) -> None:
        """Raises SearchError for an address that apprise does not know, and where apprise is missing."""
        self._services = []
        if not urls:
            return
        try:
            from apprise import Apprise, AppriseAsset
        except ImportError:
            raise SearchError(f"{option('notify')} needs the extra: pip install -e '.[notify]'") from None
        logger = logging.getLogger("apprise")  # it would print addresses, with what is secret in them
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        for url in urls:
            service = Apprise(asset=AppriseAsset(app_id="search", app_desc="hyperparameter search"))
            with warnings.catch_warnings(action="ignore"):  # of what apprise imports
                known = service.add(url)
            if not known:
                where = "its documentation has one for each service"
                raise SearchError(f"{option('notify', hidden(url))}: apprise cannot read this address; {where}")
            self._services.append((url, service))

    def send(self, title: str, text: str, failed: bool = False) -> list[str]:
        """Tell all of them; one warning for each that could not be told. Raises nothing: the run has its result."""
        title, text = visible(title), "\n".join(map(visible, text.split("\n")))
        missed = []
        for url, service in self._services:
            try:
                kind = "failure" if failed else "success"
                # As text: a service that shows HTML or Markdown gets it escaped.
                sent = bool(service.notify(title=title, body=text, notify_type=kind, body_format="text"))
            except Exception:  # what it says may hold the address
                sent = False
            if not sent:
                remedy = "`apprise -v -b test ADDRESS` says why"
                missed.append(f"warning: the notification by {hidden(url)} could not be sent; {remedy}")
        return missed
