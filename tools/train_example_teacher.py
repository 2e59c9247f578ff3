"""Train an example teacher and write it as safetensors (float16 weights, the layer graph in its metadata).

    python tools/train_example_teacher.py fashion-mnist --out FILE.safetensors --log FILE.jsonl

The choice of weights (the running average or the raw ones) is made on the validation split; the test
set is read once, after the last epoch. Interrupted, the same command goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from autokd_edge.students.families.resnet import resnet_spec
from autokd_edge.students.lower_torch import SpecNetwork, torch_from_spec
from autokd_edge.teaching.augment import Augmenter, AugmentPlan
from autokd_edge.teaching.data import data_source
from autokd_edge.teaching.kinds.layer_graph import write_teacher
from autokd_edge.teaching.samples import LabelledImages, TeachingData

RECIPES = {  # widths, blocks a stage, stem, epochs, peak learning rate, batch, augmentation
    "fashion-mnist": ((48, 96, 192), 2, 32, 36, 0.15, 128, AugmentPlan(shift=2, flip=True, cutout=8, variants=10_000)),
    "digits": ((16, 32), 1, 16, 40, 0.1, 64, AugmentPlan(shift=1, flip=False, cutout=0, variants=10_000)),
}
EMA_DECAY = 0.998  # averages over about one epoch of Fashion-MNIST


def main() -> None:
    """Train, choose by validation, grade once on the test set, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/teacher.safetensors"))
    args = parser.parse_args()
    widths, blocks, stem, epochs, peak, batch, plan = RECIPES[args.data]
    source = data_source(args.data)
    data = source.teaching()
    spec = resnet_spec(data.image, len(data.classes), widths, blocks, stem=stem, seed=0)
    network = torch_from_spec(spec).laid_out(torch.channels_last)
    average = torch_from_spec(spec)
    average.load_arrays(network.arrays())
    optimizer = torch.optim.SGD(network.parameters(), lr=peak, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * (len(data.train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, pct_start=0.2)
    augment = Augmenter(plan, samples=len(data.train), seed=1, image=data.image, mean=data.mean, std=data.std)
    start = _resume(args.checkpoint, network, average, optimizer)
    for _ in range(start * (len(data.train) // batch)):
        schedule.step()
    for epoch in range(start, epochs):
        began = time.monotonic()
        loss = _epoch(network, average, optimizer, schedule, data, augment, epoch, batch)
        record = {
            "epoch": epoch + 1,
            "loss": round(loss, 4),
            "validation": accuracy(network, data.validation, augment),
            "validation_average": accuracy(average, data.validation, augment),
            "seconds": round(time.monotonic() - began, 1),
        }
        _log(args.log, record)
        _checkpoint(args.checkpoint, network, average, optimizer, epoch + 1)
    by_validation = {accuracy(net, data.validation, augment): net for net in (network, average)}
    chosen = by_validation[max(by_validation)]
    write_teacher(args.out, spec, chosen.arrays(), data)
    final = torch_from_spec(spec)
    final.load_arrays({name: value.half().float() for name, value in chosen.arrays().items()})
    summary = {
        "data": args.data,
        "parameters": sum(p.numel() for p in final.parameters()),
        "validation": accuracy(final, data.validation, augment),
        "test": accuracy(final, source.test(), augment),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
    }
    _log(args.log, summary)


def _epoch(
    network: SpecNetwork,
    average: SpecNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    data: TeachingData,
    augment: Augmenter,
    epoch: int,
    batch: int,
) -> float:
    network.train()
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(epoch))
    images, labels = torch.from_numpy(data.train.images), torch.from_numpy(data.train.labels)
    total = 0.0
    pairs = list(zip(average.layers.state_dict().values(), network.layers.state_dict().values(), strict=True))
    count = len(order) // batch
    for index in order[: count * batch].view(count, batch):
        values = augment.varied(images[index], index, epoch % augment.plan.variants).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(values)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels[index])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
        schedule.step()
        total += loss.item()
        with torch.no_grad():
            for mean, value in pairs:
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - EMA_DECAY)
    return total / count


@torch.no_grad()
def accuracy(network: SpecNetwork, samples: LabelledImages, augment: Augmenter) -> float:
    """Share of right answers in %, float32."""
    network.eval()
    right = 0
    for first in range(0, len(samples), 500):
        images = augment.plain(torch.from_numpy(samples.images[first : first + 500].copy()))
        right += int((network(images).argmax(1).numpy() == samples.labels[first : first + 500]).sum())
    return round(100 * right / len(samples), 3)


def _checkpoint(path: Path, network: SpecNetwork, average: SpecNetwork, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"network/{k}": v for k, v in network.arrays().items()} | {f"average/{k}": v for k, v in average.arrays().items()}
    for i, state in optimizer.state_dict()["state"].items():
        arrays[f"momentum/{i}"] = state["momentum_buffer"].contiguous()
    temporary = path.with_suffix(".tmp")
    save_file({**arrays, "epoch": torch.tensor(epoch)}, temporary)
    temporary.replace(path)


def _resume(path: Path, network: SpecNetwork, average: SpecNetwork, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    arrays = load_file(path)
    for prefix, net in (("network/", network), ("average/", average)):
        net.load_arrays({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})
    state = optimizer.state_dict()
    momentum = {int(k.split("/")[1]): {"momentum_buffer": v} for k, v in arrays.items() if k.startswith("momentum/")}
    optimizer.load_state_dict({**state, "state": momentum})
    return int(arrays["epoch"])


def _log(path: Path, record: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(record) + "\n")
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
