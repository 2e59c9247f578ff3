import dataclasses
from xml.etree import ElementTree as ET

from fakes.study import sample_spec

from autokd_edge.core.student import Layer
from autokd_edge.report.drawing import LEGEND, drawing, kinds_in
from autokd_edge.report.layout import blocks_of


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  our own text


def test_the_picture_has_a_mark_for_each_block_and_a_line_for_each_input() -> None:
    spec = sample_spec()
    blocks = blocks_of(spec)
    root = parsed(drawing(spec, title="net"))
    marks = [e for e in root if e.get("class", "").startswith("block ")]
    assert len(marks) == len(blocks)
    assert sum(e.get("class") == "edge" for e in root) == sum(len(block.inputs) for block in blocks)


def test_every_block_says_what_it_is() -> None:
    spec = sample_spec()
    root = parsed(drawing(spec, title="net"))
    titles = [mark[0].text or "" for mark in root if mark.get("class", "").startswith("block ")]
    assert titles[1] == "layer0: 3\N{MULTIPLICATION SIGN}3 convolution, gives 8\N{MULTIPLICATION SIGN}28\N{MULTIPLICATION SIGN}28"
    assert titles[-1].endswith("classifier, gives 10")


def test_stages_are_named_by_resolution_and_channels() -> None:
    root = parsed(drawing(sample_spec(), title="net"))
    names = [e.text for e in root if e.get("class") == "stage-name"]
    assert names[0] == "28\N{MULTIPLICATION SIGN}28 · 8 channels"
    assert [name.split(" ")[0] for name in names if name] == [
        "28\N{MULTIPLICATION SIGN}28",
        "14\N{MULTIPLICATION SIGN}14",
        "7\N{MULTIPLICATION SIGN}7",
    ]


def test_more_channels_make_a_taller_block() -> None:
    root = parsed(drawing(sample_spec(), title="net"))
    heights = {mark[0].text: float(mark.get("height", "0")) for mark in root if mark.get("class", "").startswith("block conv")}
    by_channels = [(int((text or "").split("gives ")[1].split("\N{MULTIPLICATION SIGN}")[0]), height) for text, height in heights.items()]
    assert sorted(by_channels) == sorted(by_channels, key=lambda pair: pair[1])
    assert len({height for _, height in by_channels}) == 3


def test_everything_lies_inside_the_picture() -> None:
    root = parsed(drawing(sample_spec(nodes=9), title="net"))
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for mark in root:
        if mark.get("class", "").startswith("block ") and mark.get("x"):
            assert 0 <= float(mark.get("x", "")) <= float(mark.get("x", "")) + float(mark.get("width", "")) <= width
            assert 0 <= float(mark.get("y", "")) <= float(mark.get("y", "")) + float(mark.get("height", "")) <= height


def test_names_cannot_break_out_of_the_picture() -> None:
    spec = sample_spec()
    evil = "<script>alert(1)</script>"
    first = dataclasses.replace(spec.layers[0], name=evil)
    rest = [Layer(name=x.name, op=x.op, inputs=tuple(evil if i == spec.layers[0].name else i for i in x.inputs)) for x in spec.layers[1:]]
    svg = drawing(dataclasses.replace(spec, layers=(first, *rest)), title='"><script>')
    assert "<script" not in svg
    parsed(svg)


def test_the_legend_knows_every_kind_but_the_input() -> None:
    assert kinds_in(sample_spec()) - {"input"} <= {kind for kind, _ in LEGEND}
