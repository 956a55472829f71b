from __future__ import annotations

import itertools

import pytest
import torch

from vqa.train.loss import inter_divisibility, intra_consistency, regression_loss

ALL = torch.ones(1, 3, dtype=torch.bool)


def test_smooth_l1_is_half_the_square_up_to_one_and_linear_beyond():
    loss = regression_loss(torch.tensor([[0.0, 0.5, 3.0]]), torch.zeros(1, 3), ALL)
    assert loss.tolist() == pytest.approx([(0 + 0.125 + 2.5) / 3])


def test_rows_that_only_fill_up_count_in_no_loss():
    real = torch.tensor([[True, True, False]])
    assert regression_loss(torch.tensor([[1.0, 1.0, 99.0]]), torch.zeros(1, 3), real).tolist() == [0.5]
    hidden = torch.tensor([[[[1.0, 0], [1, 0], [1, 0]], [[1, 0], [1, 0], [0, 1]]]])  # they differ on the third row
    assert intra_consistency(hidden, torch.ones(1, 2, dtype=torch.bool), real).tolist() == pytest.approx([0])
    fused = torch.tensor([[[1.0, 0], [0, 1], [0, 1]]])
    assert inter_divisibility(fused, torch.tensor([[0, 1, 0]]), real, margin=0.3).tolist() == [0]


def test_backbones_that_agree_cost_nothing_at_right_angles_one_and_opposed_two():
    def loss(second):
        hidden = torch.tensor([[[[2.0, 0.0]], [second]]])  # S = 1, K = 2, B = 1, W = 2
        return intra_consistency(hidden, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool)).item()

    assert [loss([7.0, 0.0]), loss([0.0, 3.0]), loss([-1.0, 0.0])] == pytest.approx([0, 1, 2], abs=1e-6)


def test_intra_consistency_is_the_mean_over_all_pairs_of_backbones():
    torch.manual_seed(0)
    hidden = torch.randn(2, 4, 3, 5)
    found = intra_consistency(hidden, torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool))
    pairs = [
        1 - torch.cosine_similarity(hidden[:, n], hidden[:, m], dim=-1) for n, m in itertools.combinations(range(4), 2)
    ]
    torch.testing.assert_close(found, torch.stack(pairs).mean((0, 2)))


def test_a_place_without_a_backbone_makes_no_pair_and_one_backbone_alone_costs_nothing():
    torch.manual_seed(0)
    hidden = torch.randn(1, 3, 3, 5)
    two = intra_consistency(hidden[:, :2], torch.ones(1, 2, dtype=torch.bool), ALL)
    torch.testing.assert_close(intra_consistency(hidden, torch.tensor([[True, True, False]]), ALL), two)
    assert intra_consistency(hidden, torch.tensor([[True, False, False]]), ALL).tolist() == [0]


def test_a_triplet_costs_margin_plus_positive_distance_less_negative_distance():
    fused = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]])  # distances: 0-1 .4, 0-2 1, 1-2 .2
    clusters = torch.tensor([[0, 0, 1]])  # triplets: anchor 0 with .4 - 1 + .3 < 0, anchor 1 with .4 - .2 + .3 = .5
    assert inter_divisibility(fused, clusters, ALL, margin=0.3).tolist() == pytest.approx([0.25])


def test_inter_divisibility_is_the_mean_over_all_triplets_counted_one_by_one():
    torch.manual_seed(1)
    fused, clusters = torch.randn(2, 9, 4, dtype=torch.float64), torch.randint(0, 3, (2, 9))
    real = torch.tensor([[True] * 9, [True] * 6 + [False] * 3])
    wanted = []
    for replica, rows in ((0, range(9)), (1, range(6))):
        distance = 1 - torch.cosine_similarity(fused[replica][:, None], fused[replica][None], dim=-1)
        label = clusters[replica]
        terms = [
            max(0.0, (distance[a, p] - distance[a, n] + 0.3).item())
            for a, p, n in itertools.permutations(rows, 3)
            if label[a] == label[p] != label[n]
        ]
        wanted.append(sum(terms) / len(terms))
    assert inter_divisibility(fused, clusters, real, margin=0.3).tolist() == pytest.approx(wanted)


def test_a_batch_of_one_cluster_holds_no_triplet_and_costs_nothing():
    assert inter_divisibility(torch.randn(1, 3, 4), torch.zeros(1, 3), ALL, margin=0.3).tolist() == [0]


def test_gradients_of_both_parts_of_icid_are_those_of_finite_differences():
    torch.manual_seed(2)
    hidden = torch.randn(2, 3, 6, 4, dtype=torch.float64, requires_grad=True)
    backbones, real = torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 6, dtype=torch.bool)
    clusters = torch.tensor([[0, 0, 1, 1, 2, 2]]).expand(2, 6)
    assert torch.autograd.gradcheck(lambda h: intra_consistency(h, backbones, real), hidden)
    assert torch.autograd.gradcheck(lambda h: inter_divisibility(h[:, 0], clusters, real, margin=0.3), hidden)
