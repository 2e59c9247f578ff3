"""What is known of the targets, as JSON."""

from __future__ import annotations

from autokd_edge.core.codec import Json, encode
from autokd_edge.devices.descriptors import load_target, target_names
from autokd_edge.devices.fingerprint import read_fingerprint, target_here


def listed() -> dict[str, Json]:
    """Return each shipped target's description and variants."""
    targets = [load_target(name)[0] for name in target_names()]
    return {t.name: {"description": t.description, "variants": ", ".join(str(v) for v in t.variants)} for t in targets}


def described(name: str) -> dict[str, Json]:
    """Return all fields of a target; a probed one is shown as this machine.

    Raises:
        TargetError: there is no such target.
    """
    target, _ = load_target(name)
    return dict(encode(target_here(target, read_fingerprint()) if target.probe else target))
