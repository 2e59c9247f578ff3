"""Run a bundle's self-test: the engine must give the logits that it gave when it was built."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autokd_edge.bundle.manifest import Manifest
from autokd_edge.bundle.writer import SELFTEST_INPUTS, SELFTEST_LOGITS
from autokd_edge.errors import BundleError
from autokd_edge.ports import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What a self-test found; differences are of logits, absolute."""

    samples: int
    same_label: int  # samples with the label that was recorded
    max_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Say whether every label is the same and no logit differs by more than the tolerance."""
        return self.same_label == self.samples and self.max_difference <= self.tolerance  # not so for NaN

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "failed"
        return (
            f"self-test {verdict}: {self.same_label} of {self.samples} labels as recorded, "
            f"largest logit difference {self.max_difference:.3g} (tolerance {self.tolerance:g})"
        )


def run_selftest(folder: Path, manifest: Manifest, board: Board) -> SelfTest:
    """Run the engine of a checked bundle on its self-test inputs and compare with the recorded logits.

    Raises:
        MeasureError: the engine did not run.
        BundleError: the logits have another shape than the recorded ones.
    """
    recorded = np.load(folder / SELFTEST_LOGITS, allow_pickle=False)  # (n, classes)
    card = manifest.card
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "logits.npy"
        board.infer(folder / manifest.engine.name, folder / SELFTEST_INPUTS, variant=card.variant, target=card.target, out=out)
        logits = np.load(out, allow_pickle=False)
    if logits.shape != recorded.shape or not len(recorded):
        raise BundleError(
            f"self-test logits must have the recorded shape {recorded.shape}; got {logits.shape}",
            hint="make the bundle anew: the command that made it, with another --out",
        )
    difference = float(np.abs(logits.astype(np.float64) - recorded).max())
    return SelfTest(
        samples=len(recorded),
        same_label=int((logits.argmax(axis=1) == recorded.argmax(axis=1)).sum()),
        max_difference=difference,
        tolerance=card.selftest_tolerance,
    )
