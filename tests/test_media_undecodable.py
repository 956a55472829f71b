"""What is said of videos of which nothing can be decoded: they are encrypted, or lack their parameter sets."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from ffmpegs import ffmpeg, ts_packets
from media import grey_frames, write_video

from vqa.errors import VideoError
from vqa.extract.video import decode_frames, read_timeline


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 frames of H.264 in MP4."""
    path = tmp_path_factory.mktemp("clear") / "c.mp4"
    return write_video(path, grey_frames(), codec="libx264", pix_fmt="yuv420p", options={"qp": "4", "g": "10"})


def decode_all(path: Path) -> None:
    timeline = read_timeline(path)
    for _ in decode_frames(path, timeline, np.arange(len(timeline.pts))):
        pass


@pytest.mark.parametrize(("codec", "options"), [("mpeg4", []), ("libx264", []), ("libx265", ["-tag:v", "hvc1"])])
def test_encrypted_pictures_are_refused_as_such(tmp_path: Path, clear: Path, codec: str, options: list[str]) -> None:
    key = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0" * 32, "-encryption_kid", "1" * 32]
    quiet = ["-x265-params", "log-level=none:pools=none"] if codec == "libx265" else []
    ffmpeg("-i", clear, "-c:v", codec, *options, *quiet, *key, tmp_path / "e.mp4")
    with pytest.raises(VideoError, match=r"^its pictures are encrypted; decrypt it first"):
        decode_all(tmp_path / "e.mp4")


def element(kind: str, body: bytes) -> bytes:
    return bytes.fromhex(kind) + bytes([0x80 | len(body)]) + body


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
def test_encrypted_matroska_is_refused_as_such(tmp_path: Path, clear: Path, codec: str) -> None:
    # The title of a track gives its place to a ContentEncodings element: AES (5), and the identifier of a key.
    title = ["-metadata:s:v", f"title={'x' * 60}", "-write_crc32", "0"]
    ffmpeg("-i", clear, "-c:v", codec, *title, tmp_path / "m.mkv")
    key = element("5035", element("47e1", b"\5") + element("47e2", b"k" * 12))
    encoding = element("5031", b"\0") + element("5032", b"\1") + element("5033", b"\1") + key
    encodings = element("6d80", element("6240", encoding))
    encodings += element("ec", bytes(63 - len(encodings) - 2))
    content = (tmp_path / "m.mkv").read_bytes().replace(element("536e", b"x" * 60), encodings)
    assert b"xxx" not in content
    random = np.random.default_rng(0)
    with av.open(str(tmp_path / "m.mkv")) as container:
        for packet in container.demux(video=0):
            content = content.replace(bytes(packet), b"\1" + random.bytes(packet.size - 1)) if packet.size else content
    (tmp_path / "m.mkv").write_bytes(content)
    with pytest.raises(VideoError, match=r"^its pictures are encrypted; decrypt it first"):
        decode_all(tmp_path / "m.mkv")


def joined_late(folder: Path, clear: Path, codec: str) -> Path:
    """MPEG-TS without a parameter set; and of H.264 without IDR pictures, before which FFmpeg writes them again."""
    kinds, params = ("5|7|8", "x264-params") if codec == "libx264" else ("32-34", "x265-params")
    quiet = "repeat-headers=1:keyint=10" + (":log-level=none:pools=none" if codec == "libx265" else "")
    ffmpeg("-i", clear, "-c:v", codec, f"-{params}", quiet, folder / "whole.ts")
    late = ["-c", "copy", "-bsf:v", f"filter_units=remove_types={kinds}"]
    ffmpeg("-i", folder / "whole.ts", *late, folder / "late.ts")
    return folder / "late.ts"


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_stream_without_parameter_sets_is_refused_as_such(tmp_path: Path, clear: Path, codec: str) -> None:
    with pytest.raises(
        VideoError, match=r"^its stream lacks what .* \(no sequence parameter set or header\), as when "
    ):
        decode_all(joined_late(tmp_path, clear, codec))


def test_scrambled_mpeg_ts_is_refused_as_encrypted(tmp_path: Path, clear: Path) -> None:
    path = joined_late(tmp_path, clear, "libx264")  # a scrambled one shows its parameter sets no more than this does
    scrambled = (
        packet[:3] + bytes([packet[3] | 0x80]) + packet[4:] if pid == 256 else packet
        for pid, packet in ts_packets(path)
    )
    path.write_bytes(b"".join(scrambled))
    with pytest.raises(VideoError, match=r"^its pictures are encrypted; decrypt it first"):
        decode_all(path)
    # Most scramble the headers of pictures, too, so that no packet comes at all.
    path.write_bytes(
        b"".join(packet[:4] + b"\xff" * 184 if packet[3] & 0x80 else packet for _, packet in ts_packets(path))
    )
    with pytest.raises(VideoError, match=r"^its pictures are encrypted; decrypt it first"):
        decode_all(path)


def test_an_mp4_whose_header_names_no_parameter_set_is_refused_as_such(tmp_path: Path, clear: Path) -> None:
    content = bytearray(clear.read_bytes())
    at = content.index(b"avcC") + 4
    content[at + 5] &= 0xE0  # numOfSequenceParameterSets
    (tmp_path / "s.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"no sequence parameter set"):
        decode_all(tmp_path / "s.mp4")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("f17_encrypted_mpeg4.mp4", "its pictures are encrypted"),
        ("f17_no_parameter_sets.ts", "its stream lacks what the decoder is set up by"),
    ],
)
def test_hard_videos_are_refused_for_true_reasons(test_data: Path, name: str, reason: str) -> None:
    with pytest.raises(VideoError, match=f"^{reason}"):
        decode_all(test_data / "hard-videos" / name)
