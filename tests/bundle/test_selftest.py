from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from fakes.bundle import LOGITS, FakeBoard, write_sample_bundle

from autokd_edge.bundle.selftest import SelfTest, run_selftest
from autokd_edge.errors import BundleError


def selftest(folder: Path, logits: npt.NDArray[np.float32]) -> SelfTest:
    manifest = write_sample_bundle(folder / "bundle")
    board = FakeBoard(logits)
    result = run_selftest(folder / "bundle", manifest, board)
    assert board.ran == [folder / "bundle" / "engine.blob"]
    return result


def test_equal_logits_pass(tmp_path: Path) -> None:
    result = selftest(tmp_path, LOGITS)
    assert result.passed
    assert result == SelfTest(samples=4, same_label=4, max_difference=0.0, tolerance=1e-3)
    assert str(result) == "self-test passed: 4 of 4 labels as recorded, largest logit difference 0 (tolerance 0.001)"


def test_logits_within_the_tolerance_pass_and_beyond_it_fail(tmp_path: Path) -> None:
    near, far = LOGITS.copy(), LOGITS.copy()
    near[2, 5] += 0.0009
    far[2, 5] += 0.0015
    assert selftest(tmp_path, near).passed
    result = selftest(tmp_path, far)
    assert not result.passed
    assert result.max_difference == pytest.approx(0.0015, rel=1e-3)
    assert "failed" in str(result)


def test_another_label_fails_even_within_the_tolerance() -> None:
    assert not SelfTest(samples=4, same_label=3, max_difference=0.0, tolerance=1e-3).passed


def test_a_logit_that_is_no_number_fails(tmp_path: Path) -> None:
    broken = LOGITS.copy()
    broken[0, 0] = np.nan
    assert not selftest(tmp_path, broken).passed


def test_logits_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must have the recorded shape \(4, 10\); got \(3, 10\)"):
        selftest(tmp_path, LOGITS[:3])


def test_nothing_is_left_behind_in_the_bundle(tmp_path: Path) -> None:
    selftest(tmp_path, LOGITS)
    assert not any("logits.npy" in p.name and p.name != "selftest_logits.npy" for p in (tmp_path / "bundle").iterdir())
