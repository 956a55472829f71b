"""Joins a job's paths to one regressor, and learns how far off it is on unseen rows."""

from __future__ import annotations

import numpy as np

from vqa.train.fitted import FittedRegressor
from vqa.train.interval import IntervalScale, disagree, fit_interval
from vqa.train.job import Prepared
from vqa.train.kernel import KernelPath, fit_kernel
from vqa.train.linear import LinearPath, fit_linear
from vqa.train.restarts import TrainedNetwork
from vqa.train.rowwise import Floats
from vqa.train.settings import TrainSettings


def assemble(prepared: Prepared, network: TrainedNetwork | None, *, settings: TrainSettings) -> FittedRegressor:
    """Fit the closed-form paths that the settings name beside the network, and join all."""
    job = prepared.job
    unseen: list[Floats] = [] if network is None else [network.unseen]
    kernel: KernelPath | None = None
    linear: LinearPath | None = None
    if "kernel" in settings.paths:
        kernel, said = fit_kernel(
            prepared.inputs, prepared.targets, prepared.spreads, prepared.groups, seed=job.random_state
        )
        unseen.append(said)
    if "linear" in settings.paths:
        linear, said = fit_linear(job.features, prepared.targets, job.block_widths, prepared.groups)
        unseen.append(said)
    return FittedRegressor(
        scalers=prepared.scalers,
        network=None if network is None else network.path,
        kernel=kernel,
        linear=linear,
        mos_mean=float(job.mos.mean()),
        mos_std=float(job.mos.std()),
        mos_range=(float(job.mos.min()), float(job.mos.max())),
        interval=_interval(prepared, unseen),
    )


def _interval(prepared: Prepared, unseen: list[Floats]) -> IntervalScale | None:
    """Learn the intervals from the rows that no path has seen."""
    known = np.isfinite(np.stack(unseen)).all(0)
    parts = [said[known] for said in unseen]
    contents = np.empty(len(prepared.targets), dtype=np.intp)
    for content, members in enumerate(prepared.groups):
        contents[members] = content
    residuals = prepared.targets[known] - np.mean(np.stack(parts), axis=0)
    return fit_interval(residuals, disagree(parts), contents[known])
