"""Normalised foreground covering."""

import pytest
import torch

from mmcroc.evaluation.nf_covering import nf_covering, region_coverings


def brute_force(partition, regions):
    """Each true region's best IoU, pair by pair."""
    best = []
    for region in sorted(set(regions.flatten().tolist()) - {0}):
        own = regions == region
        ious = [
            float((own & (partition == label)).sum() / (own | (partition == label)).sum())
            for label in set(partition.flatten().tolist())
            if label >= 0
        ]
        best.append(max(ious, default=0.0))
    return best


@pytest.mark.parametrize('seed', range(5))
def test_coverings_are_those_of_all_pairs(seed):
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randint(0, 6, (9, 13), generator=generator) * 7  # ids with gaps, 0 is none
    partitions = torch.randint(-1, 8, (3, 9, 13), generator=generator)
    partitions[1] //= 3
    want = torch.tensor([brute_force(p, regions) for p in partitions], dtype=torch.float64)
    torch.testing.assert_close(region_coverings(partitions, regions), want, rtol=0, atol=1e-6)


def test_large_ids_cost_no_table():
    generator = torch.Generator().manual_seed(0)
    regions = torch.randint(0, 4, (9, 13), generator=generator)
    partitions = torch.randint(-1, 5, (2, 9, 13), generator=generator)
    far = torch.where(partitions < 0, -1, partitions << 40)
    want = region_coverings(partitions, regions)
    assert torch.equal(region_coverings(far, regions << 40), want)


def test_identical_regions_cover_fully_whatever_their_numbers():
    regions = torch.tensor([[1, 1, 2], [0, 3, 2]])
    partition = torch.tensor([[5, 5, 0], [9, 2, 0]])
    levels, best = nf_covering(partition[None], regions)
    assert levels.tolist() == [1] and best == 1


def test_levels_and_their_union_by_arithmetic():
    """One region of 2 and one of 4 pixels of 8; a level of halves, a level of the whole."""
    regions = torch.tensor([[1, 1, 0, 0], [2, 2, 2, 2]])
    halves = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
    rows = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]])
    coverings = region_coverings(torch.stack([halves, rows]), regions)
    assert coverings.tolist() == [[2 / 4, 2 / 6], [2 / 4, 4 / 4]]
    levels, best = nf_covering(torch.stack([halves, rows]), regions)
    assert levels.tolist() == pytest.approx([5 / 12, 3 / 4])
    assert float(best) == pytest.approx(3 / 4)
    levels, best = nf_covering(torch.stack([halves, torch.zeros_like(rows)]), regions)
    assert levels.tolist() == pytest.approx([5 / 12, (2 / 8 + 4 / 8) / 2])
    assert float(best) == pytest.approx((2 / 4 + 4 / 8) / 2)


def test_background_counts_in_the_size_of_a_region_but_is_not_scored():
    regions = torch.tensor([[1, 0, 0, 0]])
    assert nf_covering(torch.zeros(1, 1, 4, dtype=torch.long), regions)[1] == 1 / 4


def test_pixels_of_no_region_cover_nothing():
    regions = torch.tensor([[1, 1, 1, 1]])
    assert nf_covering(torch.full((1, 1, 4), -1), regions)[1] == 0
    assert nf_covering(torch.tensor([[[-1, 0, 0, -1]]]), regions)[1] == 1 / 2


def test_without_foreground_there_is_nothing_to_score():
    levels, best = nf_covering(torch.zeros(2, 3, 3, dtype=torch.long), torch.zeros(3, 3).long())
    assert levels.isnan().all() and best.isnan()


def test_maps_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 3, 4\)'):
        region_coverings(torch.zeros(2, 3, 4).long(), torch.zeros(4, 3).long())


def test_no_levels_are_refused():
    with pytest.raises(ValueError, match='not empty'):
        region_coverings(torch.zeros(0, 3, 4).long(), torch.zeros(3, 4).long())


@pytest.mark.gpu
def test_maps_on_a_device_are_scored_as_on_the_cpu():
    generator = torch.Generator().manual_seed(0)
    partitions = torch.randint(-1, 9, (3, 40, 50), generator=generator)
    regions = torch.randint(0, 5, (40, 50), generator=generator)
    there = region_coverings(partitions.cuda(), regions.cuda())
    torch.testing.assert_close(there.cpu(), region_coverings(partitions, regions))
