"""A runtime's part of the device program, without a runtime: an engine is a file of 4x3 weights (.npy)."""

import numpy as np


class FakeEngine:
    def __init__(self, weights, *, noisy):
        self._weights = weights
        self._noisy = noisy
        self.image = np.zeros((1, 1, 2, 2), np.float32)
        self.logits = np.zeros((1, 3), np.float32)

    def run(self):
        if self._noisy:
            print("banner")
        self.logits[0] = self.image.ravel() @ self._weights

    def executed(self):
        return {"f32": 1}


def build(request):
    np.save(open(request["out"], "wb"), np.load(request["graph"]))  # noqa: SIM115, PTH123  it stands alone and is short
    return {"layers": {"f32": 1}}


def load(request, engine):
    return FakeEngine(np.load(engine), noisy=request.get("noisy", False))


def toolchain():
    return {"fake": "1"}


def layers(request, engine, profiled):
    loaded = load(request, engine)
    profiled(loaded)
    return [{"name": "product", "kind": "MatMul", "precision": "f32", "mean_ns": 1000}]
