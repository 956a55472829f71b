"""Free sample clips with labels measured on the spot."""

from vqa.demo.clips import DemoClips, make_demo_clips
from vqa.demo.sources import Credit, credits

__all__ = ["Credit", "DemoClips", "credits", "make_demo_clips"]
