"""A page of results that uses every block, with text that tries to break out of each place where text can stand."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from vqa.report.content import Code, Column, Facts, Gallery, Page, Paragraph, Picture, Plot, Section, Table

BREAKOUT = '</script></style></title>--><script>window.broken = 1</script><img src=x onerror="window.broken = 1">\''
LINK = '<a href="https://example.invalid/">click</a>'
LONG_ID = "a" * 500 + "🎬" + "z" * 499
MODELS = ("bundled:resnet50_thin", "bundled:vit_small_patch14_dinov2", BREAKOUT, LONG_ID)

SCORES = Table(
    "Scores of the videos",
    (Column("video", hint="its id"), Column("rating", 2, "of the people who saw it"), Column("seconds", 0)),
    (
        ("clip10.mp4", 3.5, 12),
        ("clip9.mp4", 10.25, 7),
        (LONG_ID, None, None),
        (BREAKOUT, -0.001, 100),
        ("🎬\u202egnp.mp4", 2.0, 8),
    ),
)
MANY_ROWS = Table(
    "Every video",
    (Column("video"), *(Column(f"a criterion of name {i}", 3) for i in range(9))),
    tuple((f"video-{i}.mp4", *(((i * 7919 + j * 31) % 997) / 997 for j in range(9))) for i in range(40)),
)
WIDE = Table("Wide", tuple(Column(f"a column of numbers {i}", 1) for i in range(8)), (tuple(range(8)),))
FEW = Table("Numbers", (Column("x", 0), Column("y", 1)), ((1, 2.0), (2, 1.0), (3, None)))


def scatter(name: str) -> Plot:
    """A cloud of dots whose labels and trace carry hostile text."""
    return Plot(
        f"Features of {name}",
        "Each dot is a video; the better the colours lie apart, the more the model tells of quality.",
        {
            "data": [
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": [1, 2, 3],
                    "y": [2.0, 1.0, float("nan")],
                    "name": BREAKOUT,
                    "customdata": [LINK, BREAKOUT, "\u2028"],
                    "hovertemplate": "<b>%{customdata}</b><br>%{x} and %{y}<extra></extra>",
                    "marker": {"color": [1, 3, 5], "colorscale": "Viridis", "showscale": True, "size": 14},
                }
            ],
            "layout": {"xaxis": {"title": {"text": "first"}}, "yaxis": {"title": {"text": "second"}}},
        },
        FEW,
    )


def bars() -> Plot:
    """Bars over categories, two traces with a legend, one category long and hostile."""
    sides = [{"type": "bar", "x": list(MODELS), "y": [1, 2, 3, 4], "name": side} for side in ("train", "test")]
    return Plot("Two of each", "Longer bars are better.", {"data": sides, "layout": {"barmode": "group"}}, FEW)


def heatmap() -> Plot:
    """Shares between models that have long names."""
    names = [f"bundled:model_of_a_long_name_{i}" for i in range(6)]
    shares = [[round(1 / (1 + abs(i - j)), 2) for j in range(6)] for i in range(6)]
    trace = {"type": "heatmap", "x": names, "y": names, "z": shares, "colorscale": "Cividis"}
    return Plot("Who says the same", "The brighter a field, the more alike two models are.", {"data": [trace]}, WIDE)


def jpeg() -> bytes:
    """A small still image."""
    file = io.BytesIO()
    ramp = np.linspace(0, 255, 320 * 180 * 3).reshape(180, 320, 3)
    Image.fromarray(ramp.astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


def hostile_page() -> Page:
    """Every block, each with text of a stranger."""
    facts = (("rating", "3.21"), ("predicted", "4.56"), ("id", LONG_ID))
    pictures = tuple(Picture(f"clip{i}.mp4", jpeg(), facts) for i in range(5))
    pictures += (Picture(LONG_ID, None, ((BREAKOUT, BREAKOUT),)),)
    return Page(
        "Results",
        "65 videos, 7 models",
        "The labels are VMAF, not human opinion.",
        (
            Section(
                "overview",
                "Overview",
                (
                    Paragraph(f"What went in, {BREAKOUT}"),
                    Facts((("dataset", "demo"), ("hash", "0123456789abcdef" * 4), (BREAKOUT, LONG_ID))),
                    SCORES,
                ),
            ),
            Section(
                "features", "Features", (scatter("one"), scatter("two"), scatter(BREAKOUT), Paragraph("Then"), bars())
            ),
            Section("models", "Models", (MANY_ROWS, heatmap())),
            Section("worst", BREAKOUT, (Gallery("The worst", "The further off, the earlier it stands.", pictures),)),
            Section("again", "Do it again", (Code(f"vqa extract -C demo --models all\nvqa score '{'x' * 200}'"),)),
        ),
    )
