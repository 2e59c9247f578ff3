"""Read what ``torch.export.save`` wrote, and say in a few words why it cannot be read; torch itself logs pages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MOST = 150  # characters of a reason


def load_exported(path: Path) -> Any:  # noqa: ANN401  torch's own program; torch is imported with the call
    """Return an exported program.

    Raises:
        ValueError: the file holds no whole one; the text is the reason.
    """
    import torch

    load: Any = torch.export.load
    errors: list[BaseException] = []
    try:
        with warnings.catch_warnings(), _held_back("torch.export", errors):
            warnings.simplefilter("ignore")
            return load(path)
    except Exception as error:  # broad because torch raises what it meets in a user's damaged file: eight classes so far, no common base
        reason = (errors or [error])[0]
        first = str(reason).partition("\n")[0].partition(". ")[0][:_MOST].rstrip(".")
        raise ValueError(f"{type(reason).__name__}: {first or 'no reason given'}") from error


@contextmanager
def _held_back(name: str, errors: list[BaseException]) -> Iterator[None]:
    """Keep a logger from printing tracebacks of what fails anyway; the first of their errors is the reason."""

    def kept(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is not None:
            errors.append(error)
        return error is None

    logger = logging.getLogger(name)
    logger.addFilter(kept)
    try:
        yield
    finally:
        logger.removeFilter(kept)
