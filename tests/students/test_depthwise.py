import pytest
import torch
from students.networks import chain
from torch import nn

from autokd_edge.core.student import Conv2d, GlobalAvgPool, Linear
from autokd_edge.students.depthwise import DepthwiseConv2d
from autokd_edge.students.lower_torch import torch_from_spec

CHANNELS = 6
WINDOWS = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2), (7, 3)]
SIZES = [(14, 14), (9, 12), (4, 3), (1, 1)]


def pair(kernel: int, stride: int, *, bias: bool = False) -> tuple[DepthwiseConv2d, nn.Conv2d]:
    """Ours and torch's own, with the same weights."""
    torch.manual_seed(0)
    ours = DepthwiseConv2d(CHANNELS, kernel, stride, bias=bias)
    own = nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, kernel // 2, groups=CHANNELS, bias=bias)
    own.load_state_dict(ours.state_dict())
    return ours, own


def gradients(module: nn.Module, image: torch.Tensor, *, bfloat16: bool) -> dict[str, torch.Tensor]:
    seen = image.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        made = module(seen)
    assert made.dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    generator = torch.Generator().manual_seed(1)
    made.backward(torch.randn(made.shape, generator=generator).to(made.dtype))
    return {"made": made.float(), "image": seen.grad, **{name: p.grad for name, p in module.named_parameters()}}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("kernel", "stride"), WINDOWS)
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
def test_results_and_gradients_are_those_of_torch_s_own(kernel, stride, size, bias):
    image = torch.randn(3, CHANNELS, *size)
    ours, own = (gradients(module, image, bfloat16=False) for module in pair(kernel, stride, bias=bias))
    for name, value in own.items():
        assert torch.allclose(ours[name], value, rtol=1e-4, atol=1e-4), name


@pytest.mark.parametrize(("kernel", "stride"), WINDOWS)
def test_in_bfloat16_gradients_are_those_of_float32_within_its_rounding(kernel, stride):
    image = torch.randn(3, CHANNELS, 14, 14)
    ours, own = pair(kernel, stride)
    rounded, exact = gradients(ours, image, bfloat16=True), gradients(own, image, bfloat16=False)
    for name, value in exact.items():
        assert (rounded[name] - value).abs().max() < 0.02 * value.abs().max(), name


def test_a_gradient_that_is_not_wanted_is_not_computed():
    module, _ = pair(5, 2)
    module.weight.requires_grad_(False)
    image = torch.randn(1, CHANNELS, 8, 8, requires_grad=True)
    module(image).sum().backward()
    assert module.weight.grad is None
    assert image.grad is not None


def test_students_have_it_under_torch_s_names_and_graphs_without_teaching_are_torch_s_own():
    spec = chain(
        Conv2d(out_channels=CHANNELS, kernel=3),
        Conv2d(out_channels=CHANNELS, kernel=5, groups=CHANNELS),
        GlobalAvgPool(),
        Linear(out_features=3),
    )
    network = torch_from_spec(spec)
    assert [type(module) for module in network.modules() if isinstance(module, nn.Conv2d)] == [nn.Conv2d, DepthwiseConv2d]
    program = torch.export.export(network.eval(), (torch.randn(1, *spec.input),))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "aten.conv2d.default" in called
    assert not any("epthwise" in name for name in called)
