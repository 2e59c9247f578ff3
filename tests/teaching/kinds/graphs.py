"""Small torch networks of the small data set, and their ONNX graphs."""

import warnings
from pathlib import Path

import torch
from torch import nn

PIXELS = 8 * 8


def module(*, image=(1, 8, 8), classes: int = 3, seed: int = 0) -> nn.Module:
    """Make an untrained network in evaluation mode whose answers depend on every pixel."""
    torch.manual_seed(seed)
    channels, height, width = image
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * height * width, classes)
    ).eval()


def write_onnx(path: Path, network: nn.Module, *, image=(1, 8, 8), dynamic: bool = True) -> None:
    """Write a network as ONNX, with any batch or with batch 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"pixels": {0: "batch"}} if dynamic else None
        torch.onnx.export(network, (torch.zeros(1, *image),), path, dynamo=False, input_names=["pixels"], dynamic_axes=axes)


def write_pt2(path: Path, network: nn.Module, *, image=(1, 8, 8), dynamic: bool = True) -> None:
    """Write a network as an exported program."""
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(network, (torch.zeros(2, *image),), dynamic_shapes=shapes), path)
