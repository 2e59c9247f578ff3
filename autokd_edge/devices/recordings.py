"""Read recordings of devices: shipped ones by the target's name, a user's own by path; written with their own digest."""

from __future__ import annotations

import json
from pathlib import Path

from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import Digest, digest_of_json
from autokd_edge.core.recording import Recording
from autokd_edge.core.target import Target
from autokd_edge.devices.descriptors import data_folder
from autokd_edge.errors import InputError, TargetError

SHIPPED = "recorded"
_TOOL = "python tools/record_readings.py"
_RECORD = f"{_TOOL} --target TARGET --device ssh://user@host --out FILE, or --predict recorded"


def recording_bytes(recording: Recording) -> bytes:
    """Write a recording as JSON, with the digest of all that it says."""
    document = encode(recording)
    return (json.dumps({"sha256": digest_of_json(document), "recording": document}, indent=None) + "\n").encode()


def digest_of_recording(recording: Recording) -> Digest:
    """Hash all that a recording says."""
    return digest_of_json(encode(recording))


def load_recording(target: Target, name_or_path: str) -> Recording:
    """Return the recording that ships for a target, under the name "recorded", or the one in a file.

    Raises:
        TargetError: none ships for the target, or the file is of another target.
        InputError: it cannot be read, was changed, or is no recording.
    """
    path = data_folder("profiles") / "recorded" / f"{target.name}.json" if name_or_path == SHIPPED else Path(name_or_path)
    if name_or_path == SHIPPED and not path.is_file():
        raise TargetError(no_recording(target.name), hint=ways_on(target.name))
    recording = _read(path)
    if (recording.target, recording.threads) != (target.name, target.threads):
        wanted, found = f"'{target.name}' with threads = {target.threads}", f"'{recording.target}' with {recording.threads}"
        raise TargetError(f"recorded readings must be of the target, {wanted}; '{path}' is of {found}", hint=ways_on(target.name))
    return recording


def no_recording(target: str) -> str:
    """Say that nothing was recorded on a target."""
    return f"nothing was recorded on a device of target '{target}', so that no reading can be predicted"


def ways_on(target: str) -> str:
    """Name the two ways to readings of a target: a device, or a recording of a borrowed one."""
    address = "ssh://user@host"
    record = f"{_TOOL} --target {target} --device {address} --out FILE"
    return f"--device {address} measures on a board; or record on a borrowed one, {record}, and then --predict FILE"


def _read(path: Path) -> Recording:
    try:
        document = json.loads(path.read_bytes())
        said, facts = document["sha256"], document["recording"]
    except OSError as error:
        raise InputError(
            f"recorded readings '{path}' cannot be read: {error.strerror}", hint="--predict recorded, or the path of a file"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' must be a file that tools/record_readings.py wrote; it is none",
            hint=_RECORD,
        ) from error
    if digest_of_json(facts) != said:
        raise InputError(f"recorded readings '{path}' must be as they were written; their sha256 is another one", hint="take the file anew")
    try:
        return decode(Recording, facts)
    except CodecError as error:
        raise InputError(f"recorded readings '{path}' break the schema: {error}", hint=_RECORD) from error
