"""What tuning needs of a device."""

from dataclasses import replace

import pytest
from fakes.backend import FAKE_FINGERPRINT, FAKE_TARGET

from autokd_edge.api.tuning import check_tuning
from autokd_edge.core.target import Variant
from autokd_edge.devices.device import Device
from autokd_edge.devices.link import LocalLink
from autokd_edge.errors import InputError

TVM = Variant(backend="tvm", precision="fp32")
OTHER = Variant(backend="onnxruntime", precision="fp32")
TARGET = replace(FAKE_TARGET, variants=(TVM, OTHER))


def device(**facts):
    return Device(link=LocalLink(), lease=None, fingerprint=lambda: replace(FAKE_FINGERPRINT, **facts))


def test_a_target_is_tuned_where_one_of_the_variants_asked_for_can_be():
    check_tuning(TARGET, device(), (OTHER, TVM))
    with pytest.raises(InputError, match=r"--tune is for backends that have a tuner, as tvm has; target 'fake-board' has onnxruntime/fp32"):
        check_tuning(TARGET, device(), (OTHER,))


def test_an_emulated_board_is_refused_because_its_time_compares_nothing():
    with pytest.raises(InputError, match="time under emulation compares nothing; 'this machine' is emulated"):
        check_tuning(TARGET, device(emulated=True), (TVM,))
