"""A plain loop of ONNX Runtime with IO binding, as its users write it: prints the median of one inference in ns.

    python tools/bench/onnxruntime_loop.py MODEL.onnx SECONDS THREADS

Imports nothing of this package: it is what our readings are compared with.
"""

import statistics
import sys
import time

import numpy as np
import onnxruntime


def main() -> None:
    """Warm up for half a second, then run for the time given."""
    model, seconds, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted, given = session.get_inputs()[0], session.get_outputs()[0]
    binding = session.io_binding()
    binding.bind_ortvalue_input(
        wanted.name, onnxruntime.OrtValue.ortvalue_from_numpy(np.random.default_rng(0).random(wanted.shape, np.float32))
    )
    binding.bind_ortvalue_output(given.name, onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(given.shape, np.float32)))
    clock = time.perf_counter_ns
    end = clock() + 500_000_000
    while clock() < end:
        session.run_with_iobinding(binding)
    samples = []
    end = clock() + round(seconds * 1e9)
    while clock() < end:
        began = clock()
        session.run_with_iobinding(binding)
        samples.append(clock() - began)
    print(round(statistics.median(samples)))


if __name__ == "__main__":
    main()
