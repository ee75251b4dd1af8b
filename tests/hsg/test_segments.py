"""Segments against loops over pixels."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mmcroc.hsg import segments as segments_module
from mmcroc.hsg.segments import (
    cluster_pixels,
    cut_along_regions,
    filled_places,
    grid_labels,
    segment_means,
    segment_prototypes,
    sum_over_segments,
)
from tests.support.hsg_oracle import number_segments, spherical_kmeans


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_maps(images=3, views=2, height=7, width=9, clusters=4, regions=5, seed=0):
    """Clusters and regions (images · views, height, width), a fifth of the pixels ignored."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images * views, height, width)
    cluster = torch.randint(clusters, shape, generator=generator)
    region = torch.randint(regions, shape, generator=generator)
    ignored = torch.rand(shape, generator=generator) < 0.2
    return cluster.masked_fill(ignored, -1), region.masked_fill(ignored, -1)


def test_grid_of_one_row_per_cluster_is_the_identity():
    assert grid_labels((3, 1), 3, 4).tolist() == [[0] * 4, [1] * 4, [2] * 4]
    assert grid_labels((1, 4), 2, 4).tolist() == [[0, 1, 2, 3]] * 2


def test_halves_of_the_grid_go_to_even():
    # 0, ½, 1, 1½, 2 round to 0, 0, 1, 2, 2.
    assert grid_labels((3, 1), 5, 1).flatten().tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize('grid', [(2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize('ignored', [0.0, 0.3])
def test_clusters_are_those_of_a_loop(grid, ignored):
    embedding = draw(3, 5, 9, 8)
    valid = torch.rand(3, 9, 8, generator=torch.Generator().manual_seed(1)) >= ignored
    found = cluster_pixels(embedding, valid, grid, 6)
    for i in range(3):
        assert torch.equal(found[i], spherical_kmeans(embedding[i], valid[i], grid, 6))


def test_an_empty_cluster_wins_pixels_that_point_away_from_all_others():
    # Two cells of the 3 x 1 grid are ignored at the start but for one; the pixels of the first
    # cell point to opposite sides, so one of them has a negative product with its own mean.
    embedding = torch.zeros(1, 2, 3, 4, dtype=torch.float64)
    embedding[0, :, 0] = torch.tensor([[1.0, 1.0, 1.0, -1.0], [0.0] * 4])
    valid = torch.tensor([[True] * 4, [False] * 4, [False] * 4])[None]
    embedding[0, 1, 1:] = 1
    found = cluster_pixels(embedding, valid, (3, 1), 1)
    assert found[0, 0].tolist() == [0, 0, 0, 1]
    assert torch.equal(found[0], spherical_kmeans(embedding[0], valid[0], (3, 1), 1))


def test_a_cluster_that_loses_its_pixels_keeps_no_direction():
    embedding = draw(3, 2, 3, 3, seed=10)  # a cluster of the first map is empty after a step
    valid = torch.ones(3, 3, 3, dtype=torch.bool)
    found = cluster_pixels(embedding, valid, (3, 2), 6)
    for i in range(3):
        assert torch.equal(found[i], spherical_kmeans(embedding[i], valid[i], (3, 2), 6))


def test_one_cluster_needs_no_kmeans_and_a_map_without_pixels_is_fine():
    valid = torch.tensor([[True, False], [True, True]])[None]
    assert cluster_pixels(draw(1, 3, 2, 2), valid, (1, 1), 5).tolist() == [[[0, -1], [0, 0]]]
    nothing = cluster_pixels(draw(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool), (2, 2), 5)
    assert (nothing == -1).all()


@pytest.mark.parametrize('views', [1, 2, 3])
def test_segments_are_numbered_by_view_cluster_and_region(views):
    clusters, regions = draw_maps(views=views)
    segments = cut_along_regions(clusters, regions, views)
    assert segments.mask.shape[1] == segments.counts.max()
    for i in range(3):
        part = slice(i * views, (i + 1) * views)
        pixel_segment, keys = number_segments(clusters[part], regions[part])
        assert segments.pixel_segment[i].tolist() == pixel_segment
        assert segments.counts[i] == segments.mask[i].sum() == len(keys)
        assert segments.view[i, : len(keys)].tolist() == [view for view, _, _ in keys]
        assert segments.region[i, : len(keys)].tolist() == [region for _, _, region in keys]
        for values in (segments.view, segments.region):
            assert (values[i, len(keys) :] == -1).all()


def test_a_wider_table_only_adds_empty_places():
    clusters, regions = draw_maps()
    narrow, wide = (cut_along_regions(clusters, regions, 2, width) for width in (None, 64))
    width = narrow.mask.shape[1]
    assert wide.mask.shape[1] == 64 and not wide.mask[:, width:].any()
    assert torch.equal(wide.pixel_segment, narrow.pixel_segment)
    for name in ('mask', 'view', 'region'):
        assert torch.equal(getattr(wide, name)[:, :width], getattr(narrow, name))


def test_filled_places_reach_to_the_last_segment_of_any_image():
    mask = torch.zeros(2, 6, dtype=torch.bool)
    assert filled_places(mask) == 1
    mask[0, 0] = mask[1, 3] = True
    assert filled_places(mask) == 4
    assert filled_places(mask.to('meta')) == 6  # a device that would have to be asked


def test_chunks_of_the_kmeans_change_nothing(monkeypatch):
    embedding, valid = draw(2, 5, 40, 60), torch.ones(2, 40, 60, dtype=torch.bool)
    whole = cluster_pixels(embedding, valid, (3, 3), 5)
    monkeypatch.setattr(segments_module, 'CPU_CHUNK_ENTRIES', 1)  # the least chunk: 1024 pixels
    assert torch.equal(cluster_pixels(embedding, valid, (3, 3), 5), whole)


def test_a_table_too_small_drops_the_surplus_and_counts_it():
    clusters, regions = draw_maps()
    whole, cut = (cut_along_regions(clusters, regions, 2, width) for width in (None, 6))
    assert torch.equal(cut.counts, whole.counts)
    kept = whole.pixel_segment < 6
    assert torch.equal(cut.pixel_segment, whole.pixel_segment.where(kept, torch.tensor(-1)))


def test_regions_of_other_images_and_greatest_ids_do_not_mix():
    regions = torch.tensor([0, 2**17 - 1, 2**17 - 1, 0]).view(2, 1, 2)
    clusters = torch.tensor([0, 0, 1, 1]).view(2, 1, 2)
    together = cut_along_regions(clusters, regions, 2)
    assert together.pixel_segment.tolist() == [[0, 1, 3, 2]]
    apart = cut_along_regions(clusters, regions, 1)
    assert apart.pixel_segment.tolist() == [[0, 1], [1, 0]]


def test_nothing_but_ignored_pixels_gives_an_empty_table():
    nothing = torch.full((4, 3, 3), -1)
    segments = cut_along_regions(nothing, nothing, 2)
    assert segments.mask.shape == (2, 1) and not segments.mask.any()
    assert (segments.pixel_segment == -1).all() and not segments.counts.any()
    assert not segment_prototypes(draw(2, 18, 4), segments).any()
    assert not segment_means(draw(2, 18, 4), segments).any()


def test_sums_prototypes_and_means_are_those_of_a_loop():
    clusters, regions = draw_maps()
    segments = cut_along_regions(clusters, regions, 2, 64)
    pixels = F.normalize(draw(3, 126, 4), dim=-1)
    sums, means, prototypes = (
        function(pixels, segments)
        for function in (sum_over_segments, segment_means, segment_prototypes)
    )
    for i in range(3):
        for place in range(64):
            mine = pixels[i, segments.pixel_segment[i] == place]
            total = mine.sum(0)
            assert_close(sums[i, place], total)
            assert_close(means[i, place], total / max(len(mine), 1))
            if len(mine):
                assert_close(prototypes[i, place], total / total.norm())
            else:
                assert not prototypes[i, place].any()


def test_gradients_flow_through_prototypes_and_none_to_ignored_pixels():
    clusters, regions = draw_maps(images=1, height=3, width=3)
    segments = cut_along_regions(clusters, regions, 2, 40)
    pixels = draw(1, 18, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: segment_prototypes(x, segments), pixels)
    segment_prototypes(pixels, segments).sum().backward()
    ignored = segments.pixel_segment < 0
    assert ignored.any() and not pixels.grad[ignored].any() and pixels.grad[~ignored].any()
