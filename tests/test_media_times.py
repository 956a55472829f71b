"""Packets that lie about times, or are no frames: the frames that FFmpeg shows, at the times that are true."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from ffmpegs import ffmpeg, ffmpeg_pixels
from numbered import ffmpeg_shown, ffmpeg_shown_at, number_of, shown, shown_at, write_numbered

from vqa.errors import VideoError
from vqa.extract.decoding import decode_video
from vqa.extract.items import bytes_needed
from vqa.extract.packets import decode_packets, read_packets
from vqa.extract.spec import Candidate, InputSpec, ModelSpec
from vqa.extract.video import FalseTimelineError, decode_frames, read_timeline

H264 = "-c:v libx264 -qp 10 -pix_fmt yuv420p -g 25"
WHOLE = [6, 18, 31, 43, 56, 68, 81, 93]
"""Of 100 frames, those on screen at the middles of eight equal parts."""


def copied(source: Path, target: Path, *options: str) -> Path:
    ffmpeg("-i", source, "-c", "copy", *options, target)
    return target


def without_packets(source: Path, target: Path, count: int) -> Path:
    """Copy all packets but the first so many."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(video=0)):
            if packet.size and number >= count:
                packet.stream = stream
                writer.mux(packet)
    return target


def change_pes_headers(path: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """Change the PES headers of a transport stream's pictures (ISO/IEC 13818-1, 2.4.3.7).

    Args:
        path: The file.
        change: Takes all bytes, where a header begins, and the number of its picture.
    """
    data, picture = bytearray(path.read_bytes()), 0
    for at in range(0, len(data), 188):
        pid, starts = int.from_bytes(data[at + 1 : at + 3], "big") & 0x1FFF, data[at + 1] & 0x40
        if pid != 0x100 or not starts:
            continue
        change(data, at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0), picture)
        picture += 1
    path.write_bytes(data)
    return path


def without_times(path: Path, hides: Callable[[int], bool]) -> Path:
    """Take the times out of the headers of some pictures."""

    def change(data: bytearray, pes: int, picture: int) -> None:
        if hides(picture):
            data[pes + 7] &= 0x3F
            data[pes + 9 : pes + 9 + data[pes + 8]] = b"\xff" * data[pes + 8]

    return change_pes_headers(path, change)


# Invented in storage order.


@pytest.mark.parametrize("name", ["a.avi", "a.asf", "raw.mp4"])
def test_b_frames_whose_times_are_those_of_storage_are_shown_in_their_order(tmp_path: Path, name: str) -> None:
    if name.startswith("raw"):
        raw = write_numbered(tmp_path / "a.h264", f"{H264} -bf 3")
        path = copied(raw, tmp_path / name)
    else:
        path = write_numbered(tmp_path / name, f"{H264} -bf 3")
    numbers, _ = ffmpeg_shown(path, tmp_path)
    assert shown(path) == numbers
    assert shown_at(path) == ffmpeg_shown_at(path, tmp_path)
    assert len(numbers) < 100 or shown_at(path) == WHOLE


def test_one_bitstream_gives_the_same_pixels_from_any_container(tmp_path: Path) -> None:
    true = write_numbered(tmp_path / "true.mkv", f"{H264} -bf 3")
    guessed = copied(true, tmp_path / "guessed.avi", "-bsf:v", "h264_mp4toannexb")
    wanted = np.arange(0, 100, 7)
    pixels = [dict(decode_frames(path, read_timeline(path), wanted)) for path in (true, guessed)]
    assert all(np.array_equal(pixels[0][index], pixels[1][index]) for index in wanted)
    assert read_timeline(true).source == "packets"
    assert read_timeline(guessed).source == "nominal rate"


def test_packed_b_frames_are_frames_each(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "x.avi", "-c:v libxvid -q:v 3 -bf 2 -g 50 -pix_fmt yuv420p")
    numbers, _ = ffmpeg_shown(path, tmp_path)
    assert len(numbers) < 100  # the encoder drops the last, whose packets hold two
    assert shown(path) == numbers
    assert shown_at(path) == [numbers[int(len(numbers) * (part + 0.5) / 8)] for part in range(8)]


@pytest.mark.parametrize("bf", [0, 2])
@pytest.mark.parametrize("suffix", ["avi", "asf"])
def test_a_hole_in_times_of_storage_is_a_hole(tmp_path: Path, suffix: str, bf: int) -> None:
    hole = "-vf select='lt(n,25)+gt(n,74)' -fps_mode passthrough"
    path = write_numbered(tmp_path / f"hole.{suffix}", f"{hole} {H264} -bf {bf}")
    assert shown(path) == [*range(25), *range(75, 100)]
    assert shown_at(path) == ffmpeg_shown_at(path, tmp_path) == [6, 18, 24, 24, 24, 24, 81, 93]


# Packets that are no frames.


def test_a_hidden_reference_is_no_frame(tmp_path: Path) -> None:
    passes = f"-c:v libvpx -b:v 300k -auto-alt-ref 1 -lag-in-frames 16 -pix_fmt yuv420p -passlogfile {tmp_path / 'log'}"
    write_numbered(tmp_path / "first.webm", f"{passes} -pass 1")
    path = write_numbered(tmp_path / "alt.webm", f"{passes} -pass 2")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert len(packets) > 100
    timeline = read_timeline(path)
    assert (len(timeline.pts), timeline.source) == (100, "packets")
    assert shown_at(path) == WHOLE


def test_a_packet_of_messages_alone_is_no_lost_picture(tmp_path: Path) -> None:
    made = write_numbered(tmp_path / "open.mp4", f"{H264} -bf 3 -x264-params open-gop=1")
    path = copied(made, tmp_path / "open.asf")
    assert shown(path) == ffmpeg_shown(path, tmp_path)[0] == list(range(100))


def test_videos_that_are_decoded_at_once_keep_the_numbers_of_their_packets(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", f"{H264} -bf 3")
    alone = read_timeline(path, decoded=True).places
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: read_timeline(path, decoded=True), range(12)))
    assert alone is not None
    assert all(np.array_equal(each.places, alone) and each.dropped == 0 for each in found)
    with av.open(str(path)) as one, av.open(str(path)) as other:
        held = list(decode_packets(read_packets(one, one.streams.video[0]), one.streams.video[0]))
        numbers = []
        for number, _ in decode_packets(read_packets(other, other.streams.video[0]), other.streams.video[0]):
            numbers.append(number)
            del held[-1:]
    assert sorted(numbers) == list(range(100))


# Starts that can't be decoded.


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        (f"{H264} -bf 2", "mkv"),
        (f"{H264} -bf 2", "mp4"),
        ("-c:v mpeg4 -q:v 3 -g 25 -pix_fmt yuv420p", "mp4"),
        ("-c:v mpeg4 -q:v 3 -bf 2 -g 25 -pix_fmt yuv420p", "mkv"),
        ("-c:v mpeg2video -q:v 3 -bf 2 -g 25 -pix_fmt yuv420p", "mkv"),
        ("-c:v libvpx -b:v 1M -g 25 -pix_fmt yuv420p -deadline realtime -cpu-used 8", "webm"),
        ("-c:v libvpx-vp9 -b:v 1M -g 25 -pix_fmt yuv420p -deadline realtime -cpu-used 8", "webm"),
        ("-c:v libx265 -x265-params log-level=none:keyint=25:pools=none -pix_fmt yuv420p", "mkv"),
    ],
)
def test_what_comes_before_the_first_clean_picture_is_not_shown(tmp_path: Path, codec: str, suffix: str) -> None:
    whole = write_numbered(tmp_path / f"whole.{suffix}", codec)
    path = without_packets(whole, tmp_path / f"cut.{suffix}", 30)
    numbers, timeline = shown(path), read_timeline(path)
    assert numbers == list(range(numbers[0], 100))
    assert 30 < numbers[0] <= 52  # the next key frame
    assert timeline.dropped >= numbers[0] - 32
    intact = dict(decode_frames(whole, read_timeline(whole), np.array(numbers)))
    found = decode_frames(path, timeline, np.arange(len(numbers)))
    assert all(np.array_equal(rgb, intact[numbers[index]]) for index, rgb in found)


def test_pictures_that_a_container_calls_key_frames_and_are_none_are_not_shown(tmp_path: Path) -> None:
    path = without_packets(write_numbered(tmp_path / "a.avi", "-c:v h263p -q:v 3 -g 25"), tmp_path / "cut.avi", 5)
    with pytest.raises(FalseTimelineError):
        shown(path)
    timeline = read_timeline(path, decoded=True)
    assert [number_of(rgb) for _, rgb in decode_frames(path, timeline, np.arange(75))] == list(range(25, 100))


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])  # MP4 of such calls every packet a key frame
def test_a_stream_without_key_frames_says_so(tmp_path: Path, suffix: str) -> None:
    codec = "-c:v mpeg4 -q:v 3 -g 300 -sc_threshold 1000000000 -pix_fmt yuv420p"
    whole = write_numbered(tmp_path / "whole.mp4", codec)
    with pytest.raises(VideoError, match="it has no key frame: each of its pictures refers to others"):
        read_timeline(without_packets(whole, tmp_path / f"cut.{suffix}", 30))


def test_an_intra_refresh_that_began_before_is_waited_for(tmp_path: Path) -> None:
    whole = write_numbered(
        tmp_path / "whole.mp4", "-c:v libx264 -qp 10 -bf 0 -x264-params intra-refresh=1:keyint=25 -pix_fmt yuv420p"
    )
    path = tmp_path / "cut.mp4"
    ffmpeg("-ss", "2", "-i", whole, "-c", "copy", path)
    numbers = shown(path)
    assert numbers == ffmpeg_shown(path, tmp_path)[0]
    assert numbers == list(range(numbers[0], 100))
    assert read_timeline(path).dropped > 0
    assert read_timeline(path).pts_seconds[-1] == pytest.approx((len(numbers) - 1) / 25, abs=0.001)


# Parts with times of their own.


def joined_streams(tmp_path: Path, *second: str, flagged: bool = True) -> Path:
    flag = ("-mpegts_flags", "+initial_discontinuity") if flagged else ()
    parts = [
        write_numbered(tmp_path / f"{begin}.ts", " ".join((H264, "-bf 2", *flag, *options)), range(begin, begin + 100))
        for begin, options in ((0, ()), (100, second))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    ("second", "flagged"),
    [((), True), ((), False), (("-output_ts_offset 3600",), True), (("-output_ts_offset 2",), False)],
)
def test_joined_segments_are_shown_one_behind_the_other(tmp_path: Path, second: tuple[str, ...], flagged: bool) -> None:
    path = joined_streams(tmp_path, *second, flagged=flagged)
    timeline = read_timeline(path)
    assert timeline.end_seconds == pytest.approx(8, abs=0.001)
    assert shown(path) == list(range(200))
    assert shown_at(path) == [12, 37, 62, 87, 112, 137, 162, 187]


def test_segments_that_go_on_in_time_are_no_parts_and_a_restarted_counter_no_damage(tmp_path: Path) -> None:
    path = joined_streams(tmp_path, "-output_ts_offset 4", flagged=False)
    with av.open(str(path)) as container:
        assert any(packet.is_corrupt for packet in container.demux(video=0))
    assert shown(path) == list(range(200))
    assert read_timeline(path).end_seconds == pytest.approx(8, abs=0.001)


def test_a_counter_that_never_counts_is_no_damage(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.ts", H264)
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        data[at + 3] &= 0xF0
    path.write_bytes(data)
    assert shown(path) == list(range(100))


@pytest.mark.parametrize(
    "codec",
    [
        f"{H264} -bf 2",
        f"{H264} -bf 0 -coder vlc",
        "-c:v mpeg2video -q:v 3 -bf 2 -g 12 -pix_fmt yuv420p",
        "-c:v libx265 -x265-params log-level=none:keyint=25:pools=none:qp=10 -pix_fmt yuv420p",
    ],
)
def test_where_packets_were_lost_nothing_false_is_shown(tmp_path: Path, codec: str) -> None:
    path = write_numbered(tmp_path / "a.ts", codec, range(60))
    whole = dict(decode_frames(path, read_timeline(path), np.arange(60)))
    content = path.read_bytes()
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    video = [place for place, packet in enumerate(packets) if int.from_bytes(packet[1:3], "big") & 0x1FFF == 0x100]
    refused, places = 0, video[20 : -len(video) // 4 : max(1, len(video) // 12)]
    for place in places:
        path.write_bytes(b"".join(packets[:place] + packets[place + 2 :]))
        try:
            found = list(decode_frames(path, read_timeline(path), np.arange(len(read_timeline(path).pts))))
        except VideoError as error:
            refused += "damaged" in str(error)
            continue
        assert all(np.array_equal(rgb, whole[number_of(rgb)]) for _, rgb in found), place
    assert refused >= len(places) // 2


def test_a_part_whose_start_is_lost_begins_at_its_key_frame(tmp_path: Path) -> None:
    codec = "-c:v mpeg4 -q:v 3 -g 25 -pix_fmt yuv420p"
    first = write_numbered(tmp_path / "1.m4v", codec, range(50))
    second = write_numbered(tmp_path / "2.mkv", codec, range(100, 150))
    cut = copied(
        without_packets(second, tmp_path / "cut.mkv", 10), tmp_path / "cut.ts", "-copyinkf", "-bsf:v", "dump_extra"
    )
    path = tmp_path / "joined.ts"
    path.write_bytes(copied(first, tmp_path / "1.ts").read_bytes() + cut.read_bytes())
    assert shown(path) == [*range(50), *range(125, 150)]
    assert read_timeline(path).dropped == 15


# Times that are missing.


@pytest.mark.parametrize(
    "hides", [lambda number: number < 25, lambda number: number % 12 != 0, lambda number: number > 60, lambda _: True]
)
def test_missing_times_are_counted(tmp_path: Path, hides: Callable[[int], bool]) -> None:
    path = without_times(write_numbered(tmp_path / "a.ts", f"{H264} -bf 2"), hides)
    timeline = read_timeline(path)
    assert timeline.end_seconds == pytest.approx(4, abs=0.05)
    assert np.diff(timeline.pts_seconds) == pytest.approx(np.full(99, 0.04), abs=0.011)
    assert shown_at(path) == WHOLE


def test_times_below_zero_are_counted(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mkv", f"{H264} -bf 2 -output_ts_offset -1 -avoid_negative_ts disabled")
    assert shown(path) == list(range(100))
    assert read_timeline(path).pts_seconds.tolist() == pytest.approx([place / 25 for place in range(100)], abs=0.001)


def test_frames_of_one_tick_are_frames_each(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "s.mkv", H264, range(40), rate=4000)
    timeline = read_timeline(path)  # Matroska counts thousandths
    assert timeline.pts_seconds.tolist() == pytest.approx([place / 4000 for place in range(40)], abs=0.001)
    assert shown(path) == list(range(40))


# Times that are attacks.


def with_times(path: Path, time_of: Callable[[int], int]) -> Path:
    """Write other times into the headers of all pictures: 33 bits of 1/90,000 s, PTS and DTS alike."""

    def change(data: bytearray, pes: int, picture: int) -> None:
        ticks = time_of(picture) & (1 << 33) - 1
        for place, mark in ((9, data[pes + 7] >> 6), (14, 1)):
            if place - 9 < data[pes + 8]:
                parts = (mark << 4 | ticks >> 30 << 1 | 1, (ticks >> 15 & 0x7FFF) << 1 | 1, (ticks & 0x7FFF) << 1 | 1)
                data[pes + place : pes + place + 5] = b"".join(
                    part.to_bytes(size, "big") for part, size in zip(parts, (1, 2, 2), strict=True)
                )

    return change_pes_headers(path, change)


@pytest.mark.parametrize(
    "time_of",
    [
        lambda picture: 10_000_000 - 3600 * picture,
        lambda picture: 8_000_000_000 - 900_000 * picture,
        lambda picture: 5,
        lambda picture: (picture * 7919 % 100) * 90_000,
    ],
    ids=["backwards", "backwards by more", "still", "anyhow"],
)
def test_times_that_make_no_sense_leave_the_order_and_the_rate(tmp_path: Path, time_of: Callable[[int], int]) -> None:
    path = with_times(write_numbered(tmp_path / "a.ts", f"{H264} -bf 0"), time_of)
    assert shown(path) == list(range(100))
    assert shown_at(path) == WHOLE
    assert read_timeline(path).end_seconds == pytest.approx(4, abs=0.001)


def test_a_time_base_of_whole_seconds_is_shared_out(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "s.mp4", f"{H264} -bf 0 -video_track_timescale 1")
    with av.open(str(path)) as container:
        assert container.streams.video[0].time_base == 1
    numbers, _ = ffmpeg_shown(path, tmp_path)
    assert shown(path) == numbers == list(range(99))  # its edit list ends within the last second
    assert shown_at(path) == [int(99 * (part + 0.5) / 8) for part in range(8)]


def test_a_time_of_thousands_of_years_is_none(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "live.mkv", f"{H264} -live 1")
    content = path.read_bytes()
    assert content.count(b"\xe7\x81\x00") == 1
    path.write_bytes(content.replace(b"\xe7\x81\x00", b"\xe7\x88" + (1 << 62).to_bytes(8, "big")))
    assert shown(path) == ffmpeg_shown(path, tmp_path)[0]
    assert read_timeline(path).end_seconds < 5


# What only decoding shows.


def test_a_timeline_that_decoding_refutes_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copied(write_numbered(tmp_path / "a.h264", f"{H264} -bf 3"), tmp_path / "a.mp4")
    candidate = Candidate(ModelSpec("x", "y"), InputSpec((32,), (32, 32), (0.5,) * 3, (0.5,) * 3), "none", "float32")
    buffer = memoryview(bytearray(bytes_needed([candidate])))
    expected = decode_video(path, [candidate], {}, buffer)
    pixels = expected.blocks[0].within(buffer).clone()
    monkeypatch.setattr("vqa.extract.packet_times.PacketTimes.are_trusted", True)
    believed = read_timeline(path)
    assert believed.source == "packets"
    with pytest.raises(FalseTimelineError):
        list(decode_frames(path, believed, np.arange(len(believed.pts))))
    again = decode_video(path, [candidate], {}, buffer)
    assert again.inputs[0].pts_seconds.tolist() == expected.inputs[0].pts_seconds.tolist()
    assert (again.blocks[0].within(buffer) == pixels).all()


# Files of the field.

HARD = {
    "f01_h264_bframes.avi": (range(100), WHOLE),
    "f01_control_same_bits.mkv": (range(100), WHOLE),
    "f01_xvid_packed.avi": ([*range(97), 98], [6, 18, 30, 42, 55, 67, 79, 91]),
    "f01_from_raw_h264.mp4": ([1, 2, 3, *range(5, 100)], [8, 20, 32, 44, 57, 69, 81, 93]),
    "f03_vp8_altref_vfr.webm": (range(80), None),
    "f04_intra_refresh_cut.mp4": (range(58, 100), None),
    "f04_no_first_key.mkv": (range(49, 100), None),
    "f04_no_first_key_mpeg4.mp4": (range(50, 100), None),
    "f05_times_restart.ts": (range(200), [12, 37, 62, 87, 112, 137, 162, 187]),
    "f05_times_jump_1h.ts": (range(200), [12, 37, 62, 87, 112, 137, 162, 187]),
    "f06_joined_segments.ts": (range(200), [12, 37, 62, 87, 112, 137, 162, 187]),
    "f07_first_second_without_pts.ts": (range(100), WHOLE),
    "f07_negative_times.mkv": (range(100), WHOLE),
    "f10_first_programme_empty.ts": (range(100), WHOLE),
    "f10_thumbnail_track_first.mp4": (range(100), WHOLE),
    "p01_edit_from_mid_group.mp4": (range(38, 88), None),
    "p02_edit_repeats_part.mp4": ([*range(50), *range(25, 75)], None),
    "p03_edit_skips_middle.mp4": ([*range(25), *range(75, 100)], None),
    "p04_pts_wraps.ts": (range(100), WHOLE),
    "p06_cover_art_first.mp4": (range(100), WHOLE),
    "p11_4000_fps.mp4": (range(300), None),
    "u10_disabled_track_first.mp4": (range(100), WHOLE),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_files_show_the_frames_they_hold(test_data: Path, name: str) -> None:
    numbers, at_eight = HARD[name]
    path = test_data / "hard-videos" / name
    assert shown(path) == list(numbers)
    if at_eight is not None:
        assert shown_at(path) == at_eight


@pytest.mark.parametrize(
    ("name", "lasts"),
    [
        ("f02_paff.h264", 1.6),
        ("f02_paff_remuxed.mp4", 1.6),
        ("f02_paff_remuxed.mkv", 1.6),
        ("p08_paff_one_pes_a_frame.ts", 1.6),
    ],
)
def test_two_field_pictures_are_one_frame(test_data: Path, name: str, lasts: float) -> None:
    path = test_data / "hard-videos" / name
    timeline = read_timeline(path)
    assert timeline.end_seconds == pytest.approx(lasts)
    assert np.diff(timeline.pts_seconds) == pytest.approx(np.full(39, 0.04))
    greys = [rgb[:2, 0, 0].astype(int).tolist() for _, rgb in decode_frames(path, timeline, np.arange(40))]
    levels = [[(value - 16) * 255 / 219 for value in (20 + 2 * k, 21 + 2 * k)] for k in range(40)]
    assert np.abs(np.array(greys) - levels).max() <= 1


def test_fragments_of_two_recordings_are_refused_for_that(test_data: Path) -> None:
    with pytest.raises(VideoError, match="its times begin anew amid the file, and part of what follows is hidden"):
        read_timeline(test_data / "hard-videos" / "f05_times_restart_fragmented.mp4")


@pytest.mark.parametrize("name", ["p13_yuv410p.mkv", "p14_argb_animation.mov"])
def test_odd_pixel_formats_give_the_pixels_of_ffmpegs_scaler(test_data: Path, name: str) -> None:
    path = test_data / "hard-videos" / name
    ours = np.stack([rgb for _, rgb in decode_frames(path, read_timeline(path), np.arange(10))])
    assert np.array_equal(ours, ffmpeg_pixels(path, *ours.shape[1:3]))


def test_an_avi_and_a_matroska_of_one_bitstream_look_alike(test_data: Path) -> None:
    paths = [test_data / "hard-videos" / name for name in ("f01_h264_bframes.avi", "f01_control_same_bits.mkv")]
    first, second = (list(decode_frames(path, read_timeline(path), np.arange(100))) for path in paths)
    assert all(np.array_equal(one[1], other[1]) for one, other in zip(first, second, strict=True))
    assert [number_of(rgb) for _, rgb in first] == list(range(100))
