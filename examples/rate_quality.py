"""Compare two encoders at several bitrates: a rate-quality curve of one clip.

    python examples/rate_quality.py clip.mp4 --model scorer.vqa
    python examples/rate_quality.py clip.mp4 --model scorer.vqa --encoders libx264 libvpx-vp9 --kbps 200 400 800 1600

The clip is encoded at each bitrate by each encoder (through PyAV, with each encoder's own defaults, in one pass), and
all encodes are scored together. All show the same frames for the same time; an encoder seldom meets the rate asked for,
so curves are drawn over the rate that was reached. Sound is left out, as is what lies beyond 8 bits and 4:2:0.

What the curves say: how good each encode looks by itself, as the scorer learnt it from its training labels. Compare
the heights of two curves where both have points. What they do not say: how close an encode is to the clip, for the
scorer sees no reference and may like what an encoder smoothed; nor which encoder is better in general, for that takes
many clips and people. A scorer whose labels know one encoder's artefacts only (that of `vqa demo` learnt VMAF of H.264)
may judge another's wrongly. A difference that is small beside the intervals in the table means nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import plotly.graph_objects as go

import vqa

QUIET = {"libx265": {"x265-params": "log-level=error"}}
os.environ.setdefault("SVT_LOG", "1")  # the same for libsvtav1
COLOUR = ("colorspace", "color_range", "color_primaries", "color_trc")


@dataclass(frozen=True)
class Encode:
    """One encode of the clip."""

    encoder: str
    asked_kbps: int
    kbps: float
    """What it takes: the bits of all its packets over the clip's duration."""
    file: Path


def main() -> None:
    """Encode, score and draw as the command line says."""
    arguments = read_arguments()
    encoders = [name for name in arguments.encoders if is_there(name)]
    if not encoders:
        sys.exit("Error: none of the encoders is there; name others with --encoders")
    scorer = vqa.Scorer.load(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        encodes = [
            encode(arguments.clip, Path(folder) / f"{name}-{kbps}.mp4", name, kbps)
            for name in encoders
            for kbps in arguments.kbps
        ]
        original, *scores = scorer.score_many([arguments.clip, *(each.file for each in encodes)])
    for each, row in zip(encodes, scores, strict=True):
        score = f"failed: {row.reason}" if row.score is None else f"score {row.score:.2f}"
        print(f"{each.encoder:12} {each.asked_kbps:6} kbit/s asked {each.kbps:8.0f} reached  {score}")
    write_table(arguments.table, encodes, scores)
    write_plot(arguments.plot, encodes, scores, original, scorer.info.labels)
    print(f"{arguments.table} and {arguments.plot} are written")


def is_there(encoder: str) -> bool:
    """Tell whether PyAV's FFmpeg has an encoder; say so if not."""
    try:
        av.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        print(f"{encoder}: left out, since the FFmpeg of this PyAV has no such encoder")
        return False
    return True


def encode(clip: Path, target: Path, encoder: str, kbps: int) -> Encode:
    """Encode all frames of a clip, each with its own time, size, colour and rotation as they are."""
    packets: list[av.Packet[av.VideoStream]] = []
    begin = end = 0.0
    with av.open(str(clip)) as source, av.open(str(target), "w") as sink:
        pictures = source.streams.video[0]
        if pictures.format.is_rgb:
            sys.exit(f"Error: {clip}: it is stored as RGB, which these encoders do not take; convert it to YUV first")
        stream = sink.add_stream(encoder, rate=pictures.average_rate, options=QUIET.get(encoder, {}))
        clock = pictures.time_base
        assert isinstance(stream, av.VideoStream)
        assert clock is not None
        stream.width, stream.height, stream.pix_fmt = pictures.width, pictures.height, "yuv420p"
        stream.bit_rate = 1000 * kbps
        stream.time_base = stream.codec_context.time_base = clock
        for name in COLOUR:
            setattr(stream.codec_context, name, getattr(pictures.codec_context, name))
        for number, frame in enumerate(source.decode(pictures)):
            if number == 0:
                begin = frame.time
                stream.set_display_rotation(frame.rotation)
            end = frame.time + float(frame.duration * clock)
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = frame.pts, frame.time_base
            packets += stream.encode(picture)
        packets += stream.encode(None)
        for packet in packets:
            sink.mux(packet)
    kilobits = sum(packet.size for packet in packets) * 8 / 1000
    return Encode(encoder, kbps, kilobits / (end - begin), target)


def write_table(file: Path, encodes: list[Encode], scores: list[vqa.VideoScore]) -> None:
    """Write a row for each encode."""
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["encoder", "asked_kbps", "kbps", "score", "low", "high"])
        for each, row in zip(encodes, scores, strict=True):
            writer.writerow([each.encoder, each.asked_kbps, round(each.kbps, 1), row.score, row.low, row.high])


def write_plot(
    file: Path, encodes: list[Encode], scores: list[vqa.VideoScore], original: vqa.VideoScore, labels: str
) -> None:
    """Draw a curve for each encoder, as one page that needs no network."""
    figure = go.Figure()
    for encoder in dict.fromkeys(each.encoder for each in encodes):
        points = sorted(
            (each.kbps, row.score, f"{row.low:.1f} to {row.high:.1f}" if row.low is not None else "unknown")
            for each, row in zip(encodes, scores, strict=True)
            if each.encoder == encoder and row.score is not None
        )
        kbps, heights, intervals = zip(*points, strict=True) if points else ((), (), ())
        hover = "%{x:.0f} kbit/s, score %{y:.2f}<br>9 of 10 lie in %{text}"
        figure.add_scatter(x=kbps, y=heights, text=intervals, hovertemplate=hover, name=encoder, mode="lines+markers")
    if original.score is not None:
        figure.add_hline(original.score, line_dash="dot", annotation_text="the clip itself")
    low, high = original.scale
    figure.update_layout(
        title={"text": f"Rate and quality of {Path(original.video).name}", "subtitle": {"text": labels}},
        xaxis={
            "title": "bitrate reached, kbit/s",
            "type": "log",
            "tickvals": sorted({each.asked_kbps for each in encodes}),
        },
        yaxis={"title": f"score, {low:g} (worst) to {high:g} (best)"},
    )
    figure.write_html(file, include_plotlyjs=True)


def read_arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Draw a rate-quality curve of one clip and some encoders.")
    parser.add_argument("clip", type=Path, help="as good a version as there is")
    parser.add_argument("--model", type=Path, required=True, help="the scorer, such as scorer.vqa")
    parser.add_argument("--encoders", nargs="+", default=["libx264", "libx265"], help="names as FFmpeg has them")
    parser.add_argument("--kbps", type=int, nargs="+", default=[200, 400, 800, 1600], help="bitrates to ask for")
    parser.add_argument("--table", type=Path, default=Path("rate_quality.csv"), help="where the numbers go")
    parser.add_argument("--plot", type=Path, default=Path("rate_quality.html"), help="where the plot goes")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (vqa.VqaError, av.FFmpegError) as error:
        sys.exit(f"Error: {error}")
