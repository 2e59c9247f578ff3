"""Every error the package raises, as one tree; each carries the hint that a user types next.

AutoKDError
├── InputError                 the user's input breaks a law: exit status 2, nothing written
│   ├── LimitError             a limit, budget or other quantity that parses to nothing
│   ├── TargetError            an unknown target, or a descriptor that breaks its schema
│   ├── DataError              a data set that is missing or corrupt
│   ├── TeacherError           a teacher that is missing, corrupt or does not fit the data
│   ├── ModelError             a network of the user's that is no ONNX file, or breaks a law of what engines are built of
│   ├── StoreError             a journal or artifact store that cannot be used
│   └── BundleError            a bundle that is damaged or made for another machine
├── DeviceError                the device, or the way to it, failed: the search stops, the same command goes on
│   ├── HostKeyError           the device's key is not known, or is another than it was
│   ├── AccessDeniedError      the device does not let this user in
│   ├── UnreachableError       nobody answers at the address
│   ├── ConnectionLostError    the connection broke and did not come back
│   ├── RebootedError          the device started anew in the middle of the work
│   ├── DeviceDiskFullError    there is no room on the device
│   ├── RuntimeMissingError    a program or package is not on the device
│   ├── OutlierError           the device runs at another pace than the others of its pool
│   └── NoBoardLeftError       every board of a pool was put aside
└── StageError                 one candidate failed in one stage; the search goes on
    ├── LoweringError          a student spec that a lowering cannot express
    ├── BuildError             the vendor's compiler refused a graph
    │   ├── UnsupportedOperationError  an operation, opset or precision that the target's compiler does not have
    │   ├── BuildOutOfMemoryError      the device has not the memory to build the graph
    │   ├── BuildTimedOutError         the compiler did not end in time; the same try may succeed later
    │   ├── AbsentDeviceError          the compiler's own device, a GPU say, is not on the machine, whatever is built
    │   └── AbsentCompilerError        a package or program that a backend builds with is not on the machine, whatever is built
    ├── QuantizeError          quantisation failed
    ├── MeasureError           the device did not give a reading
    │   └── TimedOutError      a program on the device did not end in time, and was ended
    ├── GradeError             an engine did not run on the images that grade it
    └── TeachError             teaching diverged
"""

from __future__ import annotations


class AutoKDError(Exception):
    """Base of all errors of this package; ``hint`` is the command or step to try next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}. Hint: {self.hint}" if self.hint else message


class InputError(AutoKDError):
    """The user's input breaks a law; the message states the law and the values."""


class LimitError(InputError):
    """A limit, budget or other quantity cannot be read."""


class TargetError(InputError):
    """A target is unknown or its descriptor breaks the schema."""


class DataError(InputError):
    """A data set is missing, corrupt or not what it claims to be."""


class TeacherError(InputError):
    """A teacher is missing, corrupt or does not fit the data set."""


class ModelError(InputError):
    """A network of the user's cannot be read, or is not one that engines can be built of."""


class StoreError(InputError):
    """A journal or an artifact store cannot be used."""


class BundleError(InputError):
    """A bundle is damaged or does not fit this machine."""


class DeviceError(AutoKDError):
    """The device, or the way to it, failed: no candidate's fault, so that the search stops; the same command goes on."""


class HostKeyError(DeviceError):
    """The device's key is not known, or is another than it was."""


class AccessDeniedError(DeviceError):
    """The device does not let this user in."""


class UnreachableError(DeviceError):
    """Nobody answers at the device's address."""


class ConnectionLostError(DeviceError):
    """The connection to the device broke and did not come back."""


class RebootedError(DeviceError):
    """The device started anew in the middle of the work."""


class DeviceDiskFullError(DeviceError):
    """There is no room on the device."""


class RuntimeMissingError(DeviceError):
    """A program or package that the work needs is not on the device."""

    def of_target(self, name: str) -> RuntimeMissingError:
        """Return the error with a target in the command to type; who asked the device did not know for which."""
        return RuntimeMissingError(self.args[0], hint=self.hint.replace("--target TARGET", f"--target {name}"))


class OutlierError(DeviceError):
    """The device runs at another pace than the others of its pool, and keeps to it."""


class NoBoardLeftError(DeviceError):
    """Every board of a pool was put aside, each for a reason of its own."""


class StageError(AutoKDError):
    """One candidate failed in one stage; ``retryable`` says whether the same try may succeed later."""

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class LoweringError(StageError):
    """A student spec cannot be expressed in the form asked for."""


class BuildError(StageError):
    """The vendor's compiler refused a graph."""


class UnsupportedOperationError(BuildError):
    """The target's compiler has no such operation, opset or precision."""


class BuildOutOfMemoryError(BuildError):
    """The device has not the memory to build the graph."""


class BuildTimedOutError(BuildError):
    """The compiler did not end in time."""


class AbsentDeviceError(BuildError):
    """The device that a backend builds for, a GPU say, or its driver is not on the machine: no other graph will fare better."""


class AbsentCompilerError(BuildError):
    """A package or program that a backend builds with is not on the machine: no other graph will fare better."""


class QuantizeError(StageError):
    """A graph could not be quantised."""


class MeasureError(StageError):
    """The device did not give a reading."""


class NoDeviceError(MeasureError):
    """The engine was built for a device that is not here; building it is all that can be done."""


class TimedOutError(MeasureError):
    """A program on the device did not end in time, and was ended; retryable."""


class GradeError(StageError):
    """An engine did not run on the images that grade it."""


class TeachError(StageError):
    """Teaching a student diverged or broke."""
