"""Draw a network as an SVG picture whose colours follow the page."""

from __future__ import annotations

import math
from html import escape

from autokd_edge.core.student import StudentSpec
from autokd_edge.report.layout import Block, BlockKind, Layout, Stage, blocks_of, place

_COLUMN = 26.0  # px from one column to the next
_ROW = 24.0
_BLOCK = 14.0  # px, width of a block
_NAME = 13.0  # px, letters of the stages' names
_PAGE = 1020.0  # px, what a page is wide enough for
LEAST_SCALE = 0.62  # a wider picture is scrolled (page.css has the same figure)
_MARGIN = 14.0
LEGEND: tuple[tuple[BlockKind, str], ...] = (
    ("conv", "convolution"),
    ("separable", "depthwise-separable convolution"),
    ("pointwise", "1\N{MULTIPLICATION SIGN}1 convolution"),
    ("merge", "merge"),
    ("pool", "pooling"),
    ("head", "classifier"),
)


def drawing(spec: StudentSpec, *, title: str) -> str:
    """Return an ``<svg>`` element: stages from left to right, blocks as tall as they have channels."""
    layout = place(blocks_of(spec))
    rows = [row for path in layout.edges for _, row in path] + [row for _, row in layout.places.values()]
    top, bottom = min(rows), max(rows)
    width = layout.stages[-1].last * _COLUMN + _BLOCK + 2 * _MARGIN
    letters = _NAME / max(LEAST_SCALE, min(1.0, _PAGE / width))  # so that they are read at one size when the picture is scaled
    ceiling = 2.6 * letters
    height = ceiling + (bottom - top + 1) * _ROW + _MARGIN
    view = f'viewBox="0 0 {width:.0f} {height:.0f}" style="--net-width: {width:.0f}px"'
    parts = [
        f'<svg class="net" {view} role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *(_stage(stage, number, height, letters) for number, stage in enumerate(layout.stages)),
        *(_edge([_at(point, top, ceiling) for point in path]) for path in layout.edges),
        *(_block(block, *_at(layout.places[block.name], top, ceiling), most=_most_channels(layout)) for block in layout.blocks),
        "</svg>",
    ]
    return "\n".join(parts)


def kinds_in(spec: StudentSpec) -> frozenset[BlockKind]:
    """Return the kinds of block that a drawing of the network has."""
    return frozenset(block.kind for block in blocks_of(spec))


def _at(spot: tuple[int, float], top: float, ceiling: float) -> tuple[float, float]:
    column, row = spot
    return _MARGIN + column * _COLUMN + _BLOCK / 2, ceiling + (row - top + 0.5) * _ROW


def _stage(stage: Stage, number: int, height: float, letters: float) -> str:
    x = _MARGIN + stage.first * _COLUMN - (_COLUMN - _BLOCK) / 2
    width = (stage.last - stage.first + 1) * _COLUMN
    size = f"{stage.shape[1]}\N{MULTIPLICATION SIGN}{stage.shape[2]}" if len(stage.shape) == 3 else ""
    words = f"{size} \N{MIDDLE DOT} {stage.shape[0]} channels"
    if 0.56 * letters * len(words) > width - letters:  # a narrow stage has room for its size alone
        words = size
    name = f'<text class="stage-name" x="{x + letters / 2:.1f}" y="{1.6 * letters:.1f}" font-size="{letters:.1f}">{escape(words)}</text>'
    return f'<rect class="stage s{number % 2}" x="{x:.1f}" y="0" width="{width:.1f}" height="{height:.1f}"/>{name if size else ""}'


def _edge(points: list[tuple[float, float]]) -> str:
    """Draw a smooth path through the columns, horizontal at each."""
    x, y = points[0]
    path = [f"M{x:.1f} {y:.1f}"]
    for next_x, next_y in points[1:]:
        bend = (next_x - x) / 2
        path.append(f"C{x + bend:.1f} {y:.1f} {next_x - bend:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
    return f'<path class="edge" d="{" ".join(path)}"/>'


def _block(block: Block, x: float, y: float, *, most: int) -> str:
    title = f"<title>{escape(_said(block))}</title>"
    if block.kind == "merge":
        return f'<circle class="block merge" cx="{x:.1f}" cy="{y:.1f}" r="3.6">{title}</circle>'
    width = _BLOCK * (0.55 if block.kind == "pool" else 1.0)
    # Logarithmic, so that 8 and 256 channels can stand side by side.
    height = 10.0 + 10.0 * math.log2(1 + block.shape[0]) / math.log2(1 + most) if block.kind != "pool" else 12.0
    box = f'x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="block {block.kind}" {box} rx="3">{title}</rect>'


def _said(block: Block) -> str:
    shape = "\N{MULTIPLICATION SIGN}".join(map(str, block.shape))
    return f"{block.name}: {block.label}, gives {shape}"


def _most_channels(layout: Layout) -> int:
    return max(block.shape[0] for block in layout.blocks)
