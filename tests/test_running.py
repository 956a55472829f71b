from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue

import pytest
import torch
from media import grey_frames, write_video
from torch import Tensor, nn

from vqa.errors import VqaError
from vqa.extract.decoding import decode_video
from vqa.extract.items import bytes_needed
from vqa.extract.jobs import Job
from vqa.extract.launching import Lanes, Launcher, OnTheSpot
from vqa.extract.model import Model
from vqa.extract.options import Share
from vqa.extract.running import Result, Runner, Work
from vqa.extract.slots import Slot
from vqa.extract.spec import Candidate, InputSpec, ModelSpec

CPU = torch.device("cpu")
INPUT = InputSpec(resize=(32,), crop=(32, 32), mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
CANDIDATE = Candidate(ModelSpec("fake", "mean", frames=3), INPUT, "none", "float32")


class MeanGrey(nn.Module):
    """Features are the mean grey level; a batch of more rows than it has room for does not fit."""

    def __init__(self, room: int = 100) -> None:
        super().__init__()
        self.room = room
        self.batches: list[int] = []

    def forward(self, frames: Tensor) -> Tensor:
        if len(frames) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.batches.append(len(frames))
        return frames.flatten(1).mean(1, keepdim=True)


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Callable[[int], list[Work]]]:
    """Makes decoded videos, as a worker gives them; frame f of video i is grey 10 + i + 10 f."""
    with contextlib.ExitStack() as slots:

        def make(count: int) -> list[Work]:
            decoded = []
            for i in range(count):
                path = write_video(tmp_path / f"{i}.mp4", grey_frames(range(10 + i, 250, 10)))
                slot = slots.enter_context(contextlib.closing(Slot(bytes_needed([CANDIDATE]))))
                found = decode_video(path, [CANDIDATE], {}, slot.buffer)
                decoded.append(Work(Job(path.name, path, "", (0,)), slot, found))
            return decoded

        yield make


Works = Callable[[int], list[Work]]


def run(videos: Sequence[Work], network: nn.Module, launcher: Launcher, *, batch: int) -> list[Result]:
    results: list[Result] = []
    runner = Runner({0: Model(CANDIDATE, network, "")}, Share(CPU, batch), launcher)
    done: SimpleQueue[BaseException | None] = SimpleQueue()
    runner.start(videos, results.append, done.put)
    error = done.get(timeout=60)
    runner.close()
    launcher.close()
    if error is not None:
        raise error
    return results


def greys(results: Sequence[Result]) -> list[list[float]]:
    return [result.values[:, 0].round(3).tolist() for result in results]


def test_batches_span_videos_and_rows_come_back_to_their_own(works: Works) -> None:
    network, videos = MeanGrey(), works(5)
    results = run(videos, network, OnTheSpot(), batch=4)
    assert network.batches == [4, 4, 4, 3]
    assert [result.work for result in results] == videos
    assert greys(results) == [[50 + i, 130 + i, 210 + i] for i in range(5)]


def test_lanes_give_the_rows_in_the_same_order(works: Works) -> None:
    results = run(works(5), MeanGrey(), Lanes(3, 1), batch=2)
    assert greys(results) == [[50 + i, 130 + i, 210 + i] for i in range(5)]


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(works: Works) -> None:
    network = MeanGrey(room=3)
    results = run(works(2), network, OnTheSpot(), batch=8)
    assert network.batches == [2, 2, 2]
    assert greys(results) == [[50, 130, 210], [51, 131, 211]]


def test_an_input_that_never_fits_is_one_line(works: Works) -> None:
    with pytest.raises(VqaError, match="not even one input fits into the memory of cpu; free it, or use --device cpu"):
        run(works(1), MeanGrey(room=0), OnTheSpot(), batch=8)


def test_lanes_have_threads_of_their_own_and_leave_the_callers() -> None:
    torch.set_num_threads(2)
    lanes = Lanes(2, 1)
    fetches = [lanes.launch(lambda: torch.tensor(float(torch.get_num_threads()))) for _ in range(4)]
    assert [float(fetch().features) for fetch in fetches] == [1, 1, 1, 1]
    lanes.close()
    assert torch.get_num_threads() == 2


def test_a_lanes_time_is_its_part_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr("vqa.extract.launching.time.perf_counter", lambda: float(next(ticks)))
    lanes = Lanes(4, 1)
    assert lanes.launch(lambda: torch.zeros(1))().seconds == pytest.approx(0.25)
    lanes.close()
