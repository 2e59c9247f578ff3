"""Profile any ONNX network on a target: every variant built and measured by a protocol."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from autokd_edge import wiring
from autokd_edge.api.calibration import calibration_images
from autokd_edge.api.tuning import check_most, check_tuning
from autokd_edge.bundle.checker import read_bundle
from autokd_edge.bundle.manifest import MANIFEST
from autokd_edge.bundle.writer import FLOAT_GRAPH, QUANTIZED_GRAPH
from autokd_edge.core.atomic import written_whole
from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.profile import PROFILE_VERSION, Profile
from autokd_edge.core.target import Variant
from autokd_edge.devices.clocks import clocks_held
from autokd_edge.devices.descriptors import digest_of_target, load_protocol, load_target
from autokd_edge.devices.fingerprint import target_here
from autokd_edge.errors import InputError, ModelError
from autokd_edge.pipeline.given_model import read_model
from autokd_edge.pipeline.profile import Profiler, Watch

_WRITES_ONE = "autokd-edge profile MODEL.onnx --out profile.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """The options of ``autokd-edge profile`` under the same names, unread.

    ``device`` is an address, by default this machine; ``predict`` names recorded readings instead. ``tune`` is how many
    candidates of each layer are timed on the device.
    """

    model: Path
    target: str = "host"
    device: str | None = None
    predict: str | None = None
    lock_clocks: bool = False
    protocol: str = "final"
    data: str | None = None
    per_layer: bool = False
    out: Path | None = None
    tune: int | None = None


def profile(options: ProfileOptions, watch: Watch) -> Profile:
    """Build and measure a model in every variant that its target allows; write ``out`` where it is given.

    Raises:
        InputError: the model, the target, the protocol, the data or the file to write cannot be used.
        DeviceError: the device cannot be reached.
    """
    check_most(options.tune, predict=options.predict)
    protocol, _ = load_protocol(options.protocol)
    described = load_target(options.target)[0]
    if options.device is not None and options.predict is not None:
        raise InputError(
            f"a reading is measured or predicted; got --device {options.device} and --predict {options.predict}",
            hint="leave one of them out",
        )
    device = wiring.predicted_device(described, options.predict) if options.predict else wiring.device_of(options.device)
    _check_out(options.out)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source, quantized = _graphs_of(options.model)
        model = read_model(source, folder / "model.onnx")
        calibration = None if options.data is None else calibration_images(options.data, model.input_shape, folder)
        target = target_here(described, device.fingerprint())
        if options.tune is not None:
            check_tuning(target, device, target.variants)
        profiler = Profiler(
            target=target,
            backends=wiring.backends_of(target, folder / "backends", device),
            protocol=protocol,
            calibration=calibration,
            layers=options.per_layer,
            quantized=quantized,
            tune=options.tune,
        )
        with clocks_held(device, target.power_modes) if options.lock_clocks else nullcontext():
            rows = profiler.rows(model, watch)
    made = Profile(
        profile_version=PROFILE_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=str(options.model),
        model_digest=model.digest,
        input_shape=model.input_shape,
        target=target.name,
        target_digest=digest_of_target(target),
        protocol=protocol.name,
        rows=rows,
    )
    if options.out is not None:
        _write(options.out, made)
    return made


def read_profile(path: Path) -> Profile:
    """Read what ``--out`` wrote; raises InputError where it is something else."""
    try:
        return decode(Profile, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"profile '{path}' cannot be read: {error.strerror}", hint=_WRITES_ONE) from error
    except (CodecError, ValueError) as error:
        raise InputError(f"'{path}' must be a profile as `autokd-edge profile --out` writes it; {error}", hint=_WRITES_ONE) from error


def _graphs_of(model: Path) -> tuple[Path, dict[Variant, Path]]:
    """Return the float graph, and the quantised one of a bundle under the variant that it was made for."""
    bundle = next((folder for folder in (model, model / "bundle") if (folder / MANIFEST).is_file()), None)
    if bundle is None:
        if model.is_dir():
            of_targets = sorted(path.parent for path in model.glob(f"bundles/*/{MANIFEST}"))
            has = f"{len(of_targets)} of them" if of_targets else f"no {MANIFEST}"
            raise ModelError(
                f"a folder to profile must be a bundle, or a run that shipped one; '{model}' has {has}",
                hint=f"autokd-edge profile {of_targets[0]}"
                if of_targets
                else "autokd-edge profile MODEL.onnx, or the folder that `autokd-edge search` wrote",
            )
        return model, {}
    manifest = read_bundle(bundle)
    quantized = bundle / QUANTIZED_GRAPH
    return bundle / FLOAT_GRAPH, {manifest.card.variant: quantized} if quantized.is_file() else {}


def _check_out(out: Path | None) -> None:
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise InputError(f"--out must be a file in a folder that is there; got '{out}'", hint="--out profile.json")


def _write(out: Path, made: Profile) -> None:
    try:
        with written_whole(out) as begun:
            begun.write_text(json.dumps(encode(made)) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"profile '{out}' cannot be written: {error.strerror}", hint="give another --out") from error
