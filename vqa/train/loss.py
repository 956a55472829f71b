"""The loss of PTM-VQA: smooth L1 on the score, and ICID on the representations (Yuan et al., CVPR 2024).

ICID has two parts. *Intra-consistency*: what different backbones say of the same video should agree.
*Inter-divisibility*: videos of different MOS pseudo clusters should lie apart, by a triplet loss with margin. Ours,
since the published text does not say: the triplets stand on the fused representation, distance is 1 - cosine (0 to 2),
and all triplets of a batch count, not only hard ones.

Every function takes S replicas at once and gives one loss for each, shape (S,). Rows of a batch that only fill it up
are marked by a mask of shape (S, B) and count nowhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def regression_loss(predicted: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """Return the mean smooth L1 between standardised scores, all of shape (S, B)."""
    each = functional.smooth_l1_loss(predicted, target, reduction="none")
    return _masked_mean(each, real)


def intra_consistency(hidden: Tensor, backbones: Tensor, real: Tensor) -> Tensor:
    """Return the mean over videos and pairs of backbones of 1 - cos(h_n, h_m); 0 at best, and for one backbone.

    The pairs' sum comes from the sum of unit vectors: |sum_n u_n|^2 = K + 2 sum_{n<m} cos(h_n, h_m).

    Args:
        hidden: All h_n, shape (S, K, B, W).
        backbones: Which of the K a replica has, boolean, shape (S, K).
        real: Which rows count, boolean, shape (S, B).
    """
    units = functional.normalize(hidden, dim=-1) * backbones[:, :, None, None]
    count = backbones.sum(1).to(hidden.dtype)[:, None]
    cosines = (units.sum(1).square().sum(-1) - count) / 2
    pairs = count * (count - 1) / 2
    each = torch.where(pairs > 0, 1 - cosines / pairs.clamp(min=1), 0.0)
    return _masked_mean(each, real)


def inter_divisibility(fused: Tensor, clusters: Tensor, real: Tensor, *, margin: float) -> Tensor:
    """Return the mean over all triplets of max(0, d(anchor, positive) - d(anchor, negative) + margin).

    A positive shares the anchor's MOS pseudo cluster, a negative does not. For one pair of anchor and positive the
    negatives that count are those nearer than d + margin; with the anchor's negatives sorted and summed up once, all
    triplets cost B^2 log B instead of B^3.

    Args:
        fused: H, shape (S, B, W).
        clusters: Pseudo cluster of each row, shape (S, B).
        real: Which rows count, boolean, shape (S, B).
        margin: In units of 1 - cosine.

    Returns:
        Shape (S,); 0 where a batch holds no triplet.
    """
    units = functional.normalize(fused, dim=-1)
    distance = 1 - units @ units.transpose(1, 2)
    same = clusters[:, :, None] == clusters[:, None, :]
    both = real[:, :, None] & real[:, None, :]
    itself = torch.eye(fused.shape[1], dtype=torch.bool, device=fused.device)
    positive, negative = same & both & ~itself, ~same & both

    far = torch.finfo(distance.dtype).max
    negatives = torch.where(negative, distance, far).sort(dim=-1).values
    limits = distance + margin
    nearer = torch.searchsorted(negatives.detach(), limits.detach())
    sums = functional.pad(torch.where(negatives < far, negatives, 0.0).cumsum(-1), (1, 0))
    each = nearer * limits - sums.gather(-1, nearer)

    triplets = (positive * negative.sum(-1, keepdim=True)).sum((1, 2))
    return torch.where(positive, each, 0.0).sum((1, 2)) / triplets.clamp(min=1)


def _masked_mean(each: Tensor, real: Tensor) -> Tensor:
    """Return the mean over the rows that count, for each replica."""
    return torch.where(real, each, 0.0).sum(1) / real.sum(1).clamp(min=1)
