"""An example of a backend in a package of its own: ONNX Runtime as it comes, fp32 alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autokd_edge.core.quantization import QuantizeReport
from autokd_edge.core.target import Target, Variant
from autokd_edge.devices.board import Place, RuntimeBoard
from autokd_edge.devices.runtime import LinkedRuntime, Runtime, refuse_other_variants
from autokd_edge.errors import QuantizeError
from autokd_edge.ports import Backend, Link

NAME = "example"
DRIVER = Path(__file__).with_name("driver.py")


class ExampleBuilder:
    """Builds engines on the device of a link."""

    def __init__(self, link: Link) -> None:
        self._runtime = LinkedRuntime(runtime=RUNTIME, link=link)

    def toolchain(self) -> Mapping[str, str]:
        """Return the versions that decide an engine's bytes."""
        return self._runtime.toolchain()

    def build(self, graph: Path, *, variant: Variant, target: Target, out: Path) -> None:
        """Check a graph and keep it as it is; raises BuildError."""
        self._runtime.build(graph, variant=variant, target=target, out=out, timeout_s=60)


class NoQuantizer:
    """Refuses: this backend runs in fp32 alone."""

    def quantize(
        self, graph: Path, samples: Path, *, variant: Variant, target: Target, out: Path, keep: Sequence[str] = ()
    ) -> QuantizeReport:
        """Raise QuantizeError."""
        raise QuantizeError(f"backend '{NAME}' runs in fp32 alone; got '{variant}'")


def backend(place: Place) -> Backend:
    """Make the backend for the device at a place; the entry point names this function."""
    builder = ExampleBuilder(place.link)
    return Backend(name=NAME, builder=builder, quantizer=NoQuantizer(), board=RuntimeBoard(RUNTIME, builder, place))


def _settings(variant: Variant) -> Mapping[str, str]:
    refuse_other_variants(variant, NAME, ("fp32",))
    return {}


RUNTIME = Runtime(
    name=NAME,
    packages=("onnxruntime",),
    on_device=("onnxruntime", "onnx", "numpy"),
    install="pip install onnxruntime",
    driver=DRIVER,
    quantize_driver=DRIVER,
    settings=_settings,
)
