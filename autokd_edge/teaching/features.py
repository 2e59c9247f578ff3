"""Read features off a layer graph while it runs: the last ones of each resolution."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from autokd_edge.core.student import INPUT, StudentSpec
from autokd_edge.students.lower_torch import SpecNetwork
from autokd_edge.teaching.losses import Outputs


def feature_layers(spec: StudentSpec) -> tuple[str, ...]:
    """Name the last layer of each resolution, from the largest to the smallest."""
    last: dict[tuple[int, ...], str] = {}
    for layer in spec.layers:
        shape = spec.shapes[layer.name]
        if len(shape) == 3:
            last[shape[1:]] = layer.name
    sizes = sorted(last, reverse=True)
    return tuple(last[size] for size in sizes if last[size] != INPUT)


def feature_channels(spec: StudentSpec) -> tuple[int, ...]:
    """Channels of those layers."""
    return tuple(spec.shapes[name][0] for name in feature_layers(spec))


class FeatureReader:
    """Runs a network and keeps what its feature layers gave."""

    def __init__(self, network: SpecNetwork, *, before: nn.Module | None = None) -> None:
        """Hook the layers; ``before`` is applied to the images first."""
        self._network = network
        self._before = before
        self._names = feature_layers(network.spec)
        self._seen: dict[str, Tensor] = {}
        for name in self._names:
            network.layers[name].register_forward_hook(self._keeper(name))

    def __call__(self, images: Tensor) -> Outputs:
        """Return logits and features of a batch ``(n, c, h, w)``."""
        logits = self._network(images if self._before is None else self._before(images))
        outputs = Outputs(logits=logits, features=tuple(self._seen[name] for name in self._names))
        self._seen.clear()
        return outputs

    def _keeper(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._seen[name] = output

        return keep
