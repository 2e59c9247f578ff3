"""Real output of device tools, beside the checkout where it is there; the project carries no copy."""

from pathlib import Path

import pytest


def sample(name: str) -> str:
    """Return the text of a sample; skips the test where it is not there."""
    places = [folder / "shared" / "data" / "samples" / name for folder in Path(__file__).parents]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        pytest.skip(f"the reference data is not beside the checkout: shared/data/samples/{name}")
    return found.read_text()
