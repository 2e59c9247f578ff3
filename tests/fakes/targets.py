"""Targets of the project with some of their variants left out, for tests that another runtime would make longer."""

from pathlib import Path

TARGETS = Path(__file__).parents[2] / "targets"


def write_target_without(name: str, *left_out: str, out: Path) -> None:
    """Write the descriptor of a target without the variants "BACKEND/PRECISION"."""
    text = (TARGETS / f"{name}.toml").read_text()
    for variant in left_out:
        backend, precision = variant.split("/")
        block = f'[[variants]]\nbackend = "{backend}"\nprecision = "{precision}"\n\n'
        assert block in text
        text = text.replace(block, "")
    out.write_text(text)
