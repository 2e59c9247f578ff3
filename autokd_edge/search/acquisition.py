"""Which of a finite set of candidates to take next.

Notation: x (n, d) candidates, count of them to be taken. The acquisition functions are BoTorch's:
qLogNoisyExpectedImprovement with outcome constraints and qLogProbabilityOfFeasibility (Ament et al.,
2023, arXiv 2310.20708; Letham et al., 2019, arXiv 1706.07094), and for a front qLogNoisyExpectedHypervolumeImprovement
(Daulton et al., 2021, arXiv 2105.08195). A batch is taken one by one, with the
ones taken before, and any trial that is still running, as X_pending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement, qLogProbabilityOfFeasibility
from botorch.acquisition.multi_objective import logei as front_functions
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.multi_objective.utils import prune_inferior_points_multi_objective
from botorch.acquisition.objective import GenericMCObjective
from botorch.models.model_list_gp_regression import ModelListGP
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from autokd_edge.search.encode import Rows
from autokd_edge.search.surrogate import Surrogate, predict

_DRAWS = 64  # quasi-random draws of a posterior: differences between candidates are far larger than their error
_FEW_DRAWS = 16  # where a front has two costs: each draw is then cut into boxes by itself, which takes milliseconds
_PRUNING_DRAWS = 256  # who is on the front in none of them is left out of it; BoTorch's own 2,048 took a third of a choice
# Standard deviations below which 1 - |u| Phi(u) / phi(u) has no digits left.
_FAR = -1e4


def improving(
    objective: Surrogate, limits: Sequence[Surrogate], baseline: Rows, seed: int, pending: Rows | None = None
) -> AcquisitionFunction:
    """Return constrained qLogNEI of the objective over the candidates of ``baseline (m, d)``.

    ``limits`` are models of log(reading / limit): at most 0 is kept. ``pending (k, d)`` are running.
    """
    with torch.no_grad():
        return qLogNoisyExpectedImprovement(
            model=ModelListGP(objective.model, *(limit.model for limit in limits)),
            X_baseline=torch.from_numpy(baseline),
            sampler=_sampler(seed),
            objective=GenericMCObjective(_first),
            constraints=_constraints(1, len(limits)) or None,
            X_pending=None if pending is None else torch.from_numpy(pending),
            prune_baseline=True,
        )


def widening(
    objective: Surrogate, costs: Sequence[Surrogate], limits: Sequence[Surrogate], baseline: Rows, reference: Tensor, seed: int
) -> AcquisitionFunction:
    """Return constrained qLogNEHVI of accuracy and k costs over the candidates of ``baseline (m, d)``.

    ``costs`` are models of log costs; where there is none the costs are known: the last columns of the rows. ``reference
    (1 + k,)`` is an accuracy and negated log costs. ``limits`` are models of log(reading / limit).
    """
    _compile_nothing()
    count = len(costs) or len(reference) - 1
    goal = GenericMCMultiOutputObjective(partial(_modelled if costs else _known, count=count))
    model = ModelListGP(objective.model, *(model.model for model in (*costs, *limits)))
    constraints = _constraints(1 + len(costs), len(limits)) or None
    with torch.no_grad():
        front = prune_inferior_points_multi_objective(
            model, torch.from_numpy(baseline), reference, objective=goal, constraints=constraints, num_samples=_PRUNING_DRAWS
        )
        return qLogNoisyExpectedHypervolumeImprovement(
            model=model,
            ref_point=reference,
            X_baseline=front,
            sampler=_sampler(seed, _DRAWS if count == 1 else _FEW_DRAWS),
            objective=goal,
            constraints=constraints,
            cache_root=False,  # the costs are no part of the model, or the models have rows of their own
        )


def fitting(limits: Sequence[Surrogate], seed: int, pending: Rows | None = None) -> AcquisitionFunction:
    """Return the logarithm of the probability that at least one of a batch keeps all limits."""
    with torch.no_grad():
        return qLogProbabilityOfFeasibility(
            model=ModelListGP(*(limit.model for limit in limits)),
            constraints=_constraints(0, len(limits)),
            sampler=_sampler(seed),
            X_pending=None if pending is None else torch.from_numpy(pending),
        )


def sift(model: Surrogate, x: Rows, baseline: Rows, log_weight: Tensor | None, most: int) -> Tensor:
    """Return indices of the ``most`` rows of ``x (n, d)`` with the largest log expected improvement, best first.

    It is the analytic one, over the largest posterior mean of ``baseline (m, d)``. ``log_weight (n,)``
    is added: the log probability that a candidate keeps the limits.
    """
    best = predict(model, baseline)[0].max()
    mean, deviation = predict(model, x)
    value = log_improvement((mean - best) / deviation) + deviation.log()
    return torch.topk(value if log_weight is None else value + log_weight, min(most, len(x))).indices


def log_improvement(u: Tensor) -> Tensor:
    """Return log(phi(u) + u Phi(u)): log expected improvement of a normal variable over -u, in standard deviations.

    Below 0 as phi(u) times (1 - |u| Phi(u) / phi(u)), by erfcx, and that factor as 1 / u^2 where it
    would be lost to cancellation (Ament et al., equation 9).
    """
    low = u.clamp_max(0.0)
    factor = 1 + low * math.sqrt(math.pi / 2) * torch.special.erfcx(-low / math.sqrt(2))
    tail = torch.where(low > _FAR, factor.clamp_min(1e-300).log(), -2 * low.clamp_max(_FAR).abs().log())
    below = -0.5 * low**2 - 0.5 * math.log(2 * math.pi) + tail
    density = torch.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
    above = (density + u * torch.special.ndtr(u)).clamp_min(1e-300).log()
    return torch.where(u < 0, below, above)


def take(acquisition: AcquisitionFunction, x: Tensor, count: int, log_weight: Tensor | None = None) -> list[int]:
    """Take ``count`` different candidates of ``x (n, d)`` one by one, each given those before."""
    taken: list[int] = []
    before = acquisition.X_pending
    for _ in range(min(count, len(x))):
        with torch.no_grad():
            value = acquisition(x[:, None, :])
            value = value if log_weight is None else value + log_weight
            value[taken] = -torch.inf
            taken.append(int(value.argmax()))
            if len(taken) < count:
                chosen = x[taken]
                acquisition.set_X_pending(chosen if before is None else torch.cat([before, chosen]))
    return taken


def _compile_nothing() -> None:
    """Keep BoTorch from compiling a kernel in C++ for this very processor when qLogNEHVI is first made.

    It takes half a minute and a compiler, leaves files in the user's home with a lock that a killed process
    never gives back, and sums in another order than BoTorch's own Python, which is quick enough here.
    """
    front_functions._load_attempted = True  # noqa: SLF001  there is no other switch


def _sampler(seed: int, draws: int = _DRAWS) -> SobolQMCNormalSampler:
    return SobolQMCNormalSampler(sample_shape=torch.Size([draws]), seed=seed)


def _constraints(first: int, count: int) -> list[Callable[[Tensor], Tensor]]:
    return [partial(_output, index=first + i) for i in range(count)]


def _output(samples: Tensor, index: int) -> Tensor:
    return samples[..., index]


def _first(samples: Tensor, X: Tensor | None = None) -> Tensor:  # noqa: ARG001, N803  BoTorch calls it so
    return samples[..., 0]


def _modelled(samples: Tensor, X: Tensor | None = None, *, count: int) -> Tensor:  # noqa: ARG001, N803  BoTorch calls it so
    return torch.cat([samples[..., :1], -samples[..., 1 : 1 + count]], dim=-1)


def _known(samples: Tensor, X: Tensor | None = None, *, count: int) -> Tensor:  # noqa: N803  BoTorch calls it so
    assert X is not None, "the costs are columns of the rows"
    costs = X[..., -count:].expand(*samples.shape[:-1], count)
    return torch.cat([samples[..., :1], -costs], dim=-1)
