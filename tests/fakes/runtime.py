"""A runtime without a vendor, for tests of what all runtimes share; its driver answers with numpy alone."""

from pathlib import Path

from autokd_edge.devices.runtime import Runtime, refuse_other_variants


def _settings(variant):
    refuse_other_variants(variant, "fake", ("fp32", "int8"))
    return {"hint": variant.precision}


FAKE_RUNTIME = Runtime(
    name="fake",
    packages=("numpy",),
    on_device=("numpy",),
    install="pip install fake",
    driver=Path(__file__).with_name("driver.py"),
    quantize_driver=Path(__file__).with_name("quantize_driver.py"),
    settings=_settings,
)
