"""What a trial of tiles asks of the compiler: which workloads there are, and their kernels in other tiles.

A workload is a function on a processor with a number of threads, whatever network it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autokd_edge.backends.tvm.processor import Processor
from autokd_edge.backends.tvm.program import Lowered
from autokd_edge.backends.tvm.tiles import Tile
from autokd_edge.backends.tvm.trial_source import tried_kernel
from autokd_edge.core.codec import Json, decode, encode
from autokd_edge.core.digest import digest_of_json

Vendor = Any


def workloads_of(lowered: Lowered, processor: Processor, threads: int) -> dict[str, str]:
    """Return the workload of each kernel, by the kernel's name in this network."""
    from tvm_ffi import structural_hash

    machine = [asdict(processor), threads]
    return {
        kernel: digest_of_json([str(structural_hash(function.without_attr("global_symbol"))), machine])
        for kernel, function in lowered.functions.items()
    }


def scheduled_kernels(lowered: Lowered, processor: Processor, threads: int, tiles: Mapping[str, Tile]) -> Vendor:
    """Return the TIR module of a network's kernels; ``tiles`` by workload, the rule's where there is none.

    Raises:
        BuildError: a tile does not fit its kernel.
    """
    import tvm

    from autokd_edge.backends.tvm.schedule import scheduled

    workloads = workloads_of(lowered, processor, threads) if tiles else {}
    made = {
        kernel: scheduled(function, processor, threads, tiles.get(workloads.get(kernel, ""))).with_attr("global_symbol", kernel)
        for kernel, function in lowered.functions.items()
    }
    return tvm.IRModule(made)


def survey(lowered: Lowered, processor: Processor, threads: int, most: int) -> Json:
    """Say of each kernel that can be tiled another way: its workload, up to ``most`` other tiles, its steps."""
    from autokd_edge.backends.tvm.schedule import other_tiles

    workloads = workloads_of(lowered, processor, threads)
    found = {kernel: other_tiles(function, processor, most) for kernel, function in lowered.functions.items()}
    return {
        kernel: {
            "workload": workloads[kernel],
            "tiles": [encode(tile) for tile in tiles],
            "steps": [i for i, step in enumerate(lowered.program.steps) if step.kernel == kernel],
        }
        for kernel, tiles in found.items()
        if tiles
    }


def write_set(lowered: Lowered, processor: Processor, target: Vendor, request: Mapping[str, Json]) -> Json:
    """Compile kernels in the tiles of one set to ``out``; returns why single ones could not be, by kernel."""
    import tvm

    from autokd_edge.backends.tvm.codegen import write_object
    from autokd_edge.backends.tvm.schedule import scheduled

    made, failed = {}, {}
    for kernel, written in request["tiles"].items():
        name = tried_kernel(kernel, request["set"])
        try:
            function = scheduled(lowered.functions[kernel], processor, request["threads"], decode(Tile, written))
        # Broad, because TVM's errors have no class in common (RuntimeError, ValueError, TypeError, IndexError and its own): a tile
        # that it refuses is counted with its reason, and the others of the set are tried.
        except Exception as error:  # noqa: BLE001  as said above
            reason = str(error).strip().splitlines()
            failed[kernel] = f"{type(error).__name__}: {reason[-1] if reason else 'no reason given'}"
        else:
            made[name] = function.with_attr("global_symbol", name)
    write_object(tvm.IRModule(made), target, Path(request["out"]))
    return {"failed": failed}
