"""Candidates from best to worst by their Davies-Bouldin index."""

from __future__ import annotations

from vqa.clusters import DEFAULT_BINS, mos_clusters
from vqa.errors import DegenerateDataError
from vqa.records import FeatureTable, Ranked, Ranking
from vqa.select.dbi import COMMON_WIDTH, cluster_index, to_common_width


def rank_candidates(
    table: FeatureTable, *, bins: int = DEFAULT_BINS, bin_rule: str = "width", common_width: int = COMMON_WIDTH
) -> Ranking:
    """Rank all candidates of a table on all of its rows; of equal ones the first by name leads.

    Args:
        table: Training rows; no test row belongs here.
        bins: Number of MOS bins.
        bin_rule: `width` or `count`, see `mos_clusters`.
        common_width: Width that wider features are brought to.

    Returns:
        The ranking; candidates that can't be ranked stand in its `refused`, each with the reason.

    Raises:
        DegenerateDataError: the scores have no clusters, or no candidate can be ranked.
    """
    clusters = mos_clusters(table.mos, bins=bins, rule=bin_rule)
    rows: list[Ranked] = []
    refused: dict[str, str] = {}
    for name, block in table.blocks.items():
        try:
            space = to_common_width(block, common_width=common_width)
            rows.append(Ranked(name, cluster_index(space, clusters.labels), block.shape[1], space.shape[1]))
        except DegenerateDataError as error:
            refused[name] = str(error)
    if not rows:
        raise DegenerateDataError(_nothing_ranked(refused))
    rows.sort(key=lambda row: (row.dbi, row.name))
    return Ranking(tuple(rows), refused, clusters.sizes, clusters.merges, common_width)


def _nothing_ranked(refused: dict[str, str]) -> str:
    """Say why there is no ranking, with one reason as an example."""
    if not refused:
        return "there is no candidate to rank; run `vqa extract --models all` first"
    name, reason = next(iter(refused.items()))
    others = f", and so on for {len(refused) - 1} more" if len(refused) > 1 else ""
    return f"no candidate can be ranked; {name}: {reason}{others}; extract other candidates, or check the videos"
