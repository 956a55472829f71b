from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from media import grey_frames, write_video
from PIL import Image

from vqa.extract.stills import StillLimits, take_stills


def test_the_frame_in_the_middle_is_taken_small_and_what_can_not_be_read_has_none(tmp_path):
    video = write_video(tmp_path / "-a.mp4", grey_frames((10, 20, 130, 40), height=400, width=800))
    broken = tmp_path / "b.mp4"
    broken.write_bytes(video.read_bytes()[:2000])
    done = []
    still, *others = take_stills([video, broken, tmp_path / "gone.mp4", Path("a\0b")], told=done.append)
    picture = Image.open(io.BytesIO(still))
    assert picture.size == (320, 160)
    assert abs(float(np.asarray(picture).mean()) - 130) < 3
    assert others == [None, None, None]
    assert done == [1, 2, 3, 4]


def test_a_video_beyond_the_limits_has_no_picture(tmp_path):
    video = write_video(tmp_path / "a.mp4", grey_frames((10, 20)))
    assert take_stills([video], StillLimits(max_pixels=100)) == [None]
    assert take_stills([video], StillLimits(seconds=0)) == [None]
