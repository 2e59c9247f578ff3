"""One network on its way through the steps of a teaching, saved now and then.

SGD with Nesterov momentum and one learning-rate cycle (Smith, 2017, arXiv 1708.07120). Long lessons, and
those that pause on the way, also keep a running average of the weights (Polyak, Juditsky, 1992), of which the
better one is kept.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from autokd_edge.core.student import StudentSpec
from autokd_edge.errors import TeachError
from autokd_edge.students.lower_torch import torch_from_spec
from autokd_edge.teaching.arithmetic import CPU, fast_arithmetic
from autokd_edge.teaching.batches import Batch
from autokd_edge.teaching.features import FeatureReader
from autokd_edge.teaching.losses import Loss, Outputs
from autokd_edge.teaching.weights import write_arrays

PEAK_RATE = 0.4
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
WARM_SHARE = 0.25  # of the steps, while the rate rises
LARGEST_GRADIENT = 1.0  # norm; with the peak above the best of nine pairs by validation accuracy after 200 steps
SAVE_EVERY = 100  # steps, about 5 s: what a killed run loses at most
AVERAGED_FROM = 1_000  # steps of a lesson; in a shorter one the falling rate averages enough
AVERAGE_DECAY = 0.998  # over about 500 steps, one epoch of Fashion-MNIST
# In a short lesson that pauses the average is over about the last quarter of the steps so far (polynomial decay, Shamir and
# Zhang, 2013): the rate has not fallen yet, and the last weights alone are noisy.
RECENT = 4


class Lesson:
    """A student, its optimiser and its loss, on a device; goes on from what was saved beside ``partial``.

    ``pauses`` says that it is graded on the way, which does not change what is learnt.
    """

    def __init__(
        self, spec: StudentSpec, steps: int, seed: int, partial: Path, loss: Loss, *, pauses: bool = False, device: torch.device = CPU
    ) -> None:
        torch.manual_seed(seed)  # dropout, and some losses, draw from the global generators
        self.step = 0
        self.loss = math.nan
        self._device = device
        self.network = torch_from_spec(spec).laid_out(torch.channels_last).to(device)
        self.network.train()
        self._teaches = loss.to(device)
        self._features = FeatureReader(self.network) if loss.needs_features else None
        self._partial = partial
        self._before_s = 0.0  # of earlier runs
        self._began = time.monotonic()
        self._learnt = [*self.network.parameters(), *loss.parameters()]
        self._optimizer = torch.optim.SGD(self._learnt, lr=PEAK_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
        self._steps = steps
        self._state = [value for value in self.network.layers.state_dict().values() if value.is_floating_point()]
        self._average = [value.detach().clone() for value in self._state] if pauses or steps >= AVERAGED_FROM else None
        self._resume()

    @property
    def seconds(self) -> float:
        """Seconds of work so far, those of earlier runs included."""
        return self._before_s + time.monotonic() - self._began

    def take_step(self, batch: Batch, answers: Outputs) -> None:
        """Take one optimiser step on a batch and what the teacher says of it; raises TeachError where the loss is not finite."""
        labels = batch.labels.to(self._device)
        self._descend(self._teaches(self._forward(batch.images), answers.to(self._device), labels, batch.index))

    def _forward(self, images: Tensor) -> Outputs:
        """Return float32 logits ``(b, classes)``, and features if the loss wants them, of normalised images ``(b, c, h, w)``."""
        images = images.to(self._device).contiguous(memory_format=torch.channels_last)
        with fast_arithmetic(self._device):
            if self._features is None:
                return Outputs(logits=self.network(images).float())
            found = self._features(images)
        return Outputs(logits=found.logits.float(), features=found.features)

    def _descend(self, loss: Tensor) -> None:
        self.loss = loss.item()
        if not math.isfinite(self.loss):
            raise TeachError(f"the loss must be finite; it is {self.loss} at step {self.step + 1} of {self._steps}")
        for group in self._optimizer.param_groups:
            group["lr"] = rate(self.step, self._steps)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._learnt, LARGEST_GRADIENT)
        self._optimizer.step()
        self.step += 1
        self._averaged()
        if self.step % SAVE_EVERY == 0 and self.step < self._steps:
            self.save()

    def averaged_weights(self) -> list[Tensor] | None:
        """Return the average of the weights, in the order of the network's floating-point state; None in a short lesson."""
        return self._average

    def swap(self) -> None:
        """Exchange the weights with their average."""
        assert self._average is not None, "only a long lesson has an average"  # noqa: S101
        for value, mean in zip(self._state, self._average, strict=True):
            kept = value.detach().clone()
            value.copy_(mean)
            mean.copy_(kept)

    def forget(self) -> None:
        """Remove the saved state of a finished lesson."""
        self._partial.unlink(missing_ok=True)

    @torch.no_grad()
    def _averaged(self) -> None:
        if self._average is None:
            return
        # The first steps are forgotten: the average of few is theirs, not that of the random start.
        recent = 1 if self._steps >= AVERAGED_FROM else RECENT
        weight = max(1 - AVERAGE_DECAY, recent / (self.step + recent - 1))
        for mean, value in zip(self._average, self._state, strict=True):
            mean.lerp_(value, weight)

    def save(self) -> None:
        """Write all that the lesson needs to go on."""
        arrays = {f"network/{name}": value for name, value in self.network.arrays().items()}
        arrays |= {f"loss/{name}": value.contiguous() for name, value in self._teaches.state_dict().items()}
        arrays |= {f"average/{number}": value.contiguous() for number, value in enumerate(self._average or ())}
        for number, state in self._optimizer.state_dict()["state"].items():
            arrays[f"momentum/{number}"] = state["momentum_buffer"].contiguous()
        arrays["step"] = torch.tensor(self.step)
        arrays["seconds"] = torch.tensor(self.seconds)
        arrays["random"] = torch.get_rng_state()
        if self._device.type == "cuda":
            arrays["random_of_gpu"] = torch.cuda.get_rng_state(self._device)
        write_arrays(self._partial, arrays)

    def _resume(self) -> None:
        if not self._partial.exists():
            return
        arrays = load_file(self._partial)

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}

        self.network.load_arrays(part("network"))
        self._teaches.load_state_dict(part("loss"))
        for number, value in part("average").items():
            if self._average is not None:  # a short lesson has one until its last pause
                self._average[int(number)].copy_(value)
        momentum = {int(number): {"momentum_buffer": value} for number, value in part("momentum").items()}
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": momentum})
        self.step = int(arrays["step"])
        self._before_s = float(arrays["seconds"])
        torch.set_rng_state(arrays["random"])
        if self._device.type == "cuda" and "random_of_gpu" in arrays:
            torch.cuda.set_rng_state(arrays["random_of_gpu"], self._device)


def rate(step: int, steps: int) -> float:
    """Rise linearly to the peak, then fall along a cosine to nothing."""
    warm = max(1, round(WARM_SHARE * steps))
    if step < warm:
        return PEAK_RATE * (step + 1) / warm
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))
