"""Keep huggingface_hub, under timm and transformers, to what lies in its cache where its server does not answer.

Else it asks for each file six times over half a minute, though the file may lie in the cache.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_S = 10  # huggingface_hub's own for one request


@contextmanager
def cache_where_unreachable() -> Iterator[None]:
    """Ask the server once; where it does not answer, take files out of the cache alone meanwhile."""
    hub: Any = sys.modules.get("huggingface_hub")
    if hub is None:  # nobody here asks it
        yield
        return
    before = hub.constants.HF_HUB_OFFLINE
    hub.constants.HF_HUB_OFFLINE = before or not _answers(hub)
    try:
        yield
    finally:
        hub.constants.HF_HUB_OFFLINE = before


def _answers(hub: Any) -> bool:  # noqa: ANN401  a vendor's module
    session = hub.utils.get_session()
    packages = (
        sys.modules[kind.__module__.partition(".")[0]] for kind in type(session).__mro__
    )  # requests, httpx or httpx2, by its version
    errors = tuple(package.HTTPError for package in packages if hasattr(package, "HTTPError"))
    try:
        session.head(hub.constants.ENDPOINT, timeout=PATIENCE_S)
    except (OSError, *errors):
        return False
    return True
