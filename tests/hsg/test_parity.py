"""HSG's operations and losses against numbers of the released implementation."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mmcroc.hsg.contrast import segsort_loss
from mmcroc.hsg.modularity import balance_loss, modularity_loss, neighbour_graph
from mmcroc.hsg.segments import (
    cluster_pixels,
    cut_along_regions,
    segment_means,
    segment_prototypes,
)
from tests.support.devices import ON_DEVICES
from tests.support.released_hsg import RecordedLosses, recorded_tensors

pytestmark = pytest.mark.parity
EXACT = dict(rtol=1e-6, atol=1e-10)


def image_major(values):
    """(2N, C, h, w) -> (N, 2 h w, C)."""
    return values.flatten(2).mT.unflatten(0, (-1, 2)).flatten(1, 2)


@ON_DEVICES
def test_segments_and_prototypes(recorded_hsg_losses, device):
    case = RecordedLosses(recorded_hsg_losses, device=device)
    numbers = case.numbers
    segments = case.head.segment(case.embedding, case.regions)
    offset = segments.counts.cumsum(0) - segments.counts
    valid = segments.pixel_segment >= 0
    found = (segments.pixel_segment + offset[:, None])[valid]
    assert torch.equal(found, numbers['pixel_segment'])
    assert torch.equal(segments.region[segments.mask], numbers['segment_oversegment'])
    assert torch.equal(~segments.mask, numbers['nodes_padding'])
    view = segments.view + 2 * torch.arange(len(segments.view), device=device)[:, None]
    assert torch.equal(view[segments.mask], numbers['segment_batch_index'])
    prototypes = segment_prototypes(image_major(F.normalize(case.embedding, dim=1)), segments)
    assert_close(prototypes.mT, numbers['nodes'], **EXACT)
    assert_close(prototypes[segments.mask], numbers['segment_prototype'], **EXACT)


@ON_DEVICES
def test_positions_and_groups(recorded_hsg_losses, device):
    case = RecordedLosses(recorded_hsg_losses, device=device)
    numbers = case.numbers
    position = case.position(*case.embedding.shape[-2:])
    assert_close(position.expand_as(numbers['position_embedding']), numbers['position_embedding'])
    segments = case.head.segment(case.embedding, case.regions)
    pixels = image_major(F.normalize(case.embedding, dim=1))
    where = segment_means(image_major(numbers['position_embedding']), segments)
    fine, coarse = case.head.group(segment_prototypes(pixels, segments), where, segments.mask)
    for found, name in ((fine, 'fine'), (coarse, 'coarse')):
        assert_close(found.probabilities, numbers[f'{name}_prob'], **EXACT)
        assert_close(found.centroids.mT, numbers[f'{name}_centroid'], **EXACT)


@ON_DEVICES
def test_losses_and_gradients_in_float64(recorded_hsg_losses, device):
    case = RecordedLosses(recorded_hsg_losses, device=device)
    losses = case.losses()
    for name, value in losses.items():
        assert_close(value, case.numbers[f'loss_{name}'], **EXACT, msg=name)
    total = sum(losses.values())
    assert_close(total, case.numbers['loss_total'], **EXACT)
    assert_close(
        case.found['appearance_accuracy'].double(), case.numbers['appearance_top5_accuracy'],
        rtol=1e-6, atol=0,
    )  # fmt: skip
    total.backward()
    assert_close(case.embedding.grad, case.numbers['grad/embedding'], **EXACT)
    gradients = case.gradients()
    assert len(gradients) > 15
    for name, (found, want) in gradients.items():
        assert_close(found, want, **EXACT, msg=name)


@ON_DEVICES
@pytest.mark.parametrize('autocast', [False, True])
def test_float32_and_autocast_stay_close_to_float64(recorded_hsg_losses, autocast, device):
    # A group is an argmax: where float64 itself is undecided by less than the probabilities'
    # error, float32 may choose another, and the contrast over that level's groups jumps.
    case = RecordedLosses(recorded_hsg_losses, torch.float32, device)
    probabilities = {}
    group = case.head.group

    def watch(*args):
        found = group(*args)
        probabilities.update(zip(('fine', 'coarse'), (f.probabilities for f in found), strict=True))
        return found

    case.head.group = watch
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        losses = case.losses()
    exact = {name: case.numbers[f'loss_{name}'] for name in losses}
    mask = ~case.numbers['nodes_padding']
    for name, found in probabilities.items():
        want = case.numbers[f'{name}_prob']
        assert (found - want).abs().max() < 2e-4
        first, second = want.topk(2, dim=1).values.unbind(1)
        turned = (found.argmax(1) != want.argmax(1)) & mask
        assert ((first - second)[turned] < 2e-4).all()
        if turned.any():
            assert turned.sum() == 1
            del losses[name]
    for name, value in losses.items():
        assert_close(value.double(), exact[name], rtol=1e-3, atol=1e-5, msg=name)
    assert losses['appearance'].dtype == torch.float32


@ON_DEVICES
@pytest.mark.parametrize('concentration', [10, 16])
@pytest.mark.parametrize('chunk_size', [None, 1, 7])
def test_contrast_loss_and_gradient(recorded_hsg_ops, concentration, chunk_size, device):
    case = recorded_tensors(recorded_hsg_ops, device)
    embedding = case['segsort_embedding'].requires_grad_()
    loss = segsort_loss(
        embedding,
        case['segsort_prototype'],
        case['segsort_pixel_segment'],
        case['segsort_segment_label'],
        concentration=concentration,
        chunk_size=chunk_size,
    )
    loss.backward()
    want = f'segsort_c{concentration}'
    assert_close(loss.detach(), case[f'{want}_loss'], rtol=1e-8, atol=0)
    # The release's gradient cancels terms of exp(κ) / numerator: up to 1e-8 even in float64.
    assert_close(embedding.grad, case[f'{want}_grad'], rtol=1e-8, atol=5e-8)


@ON_DEVICES
@pytest.mark.parametrize('neighbours', [2, 4])
@pytest.mark.parametrize('single_graph', [False, True])
def test_modularity_balance_and_gradient(recorded_hsg_ops, neighbours, single_graph, device):
    case = recorded_tensors(recorded_hsg_ops, device)
    mask = ~case['dmon_padding']
    graph = neighbour_graph(
        case['dmon_nodes'].mT, mask, neighbours, None if single_graph else case['dmon_view']
    )
    probabilities = case['dmon_prob'].requires_grad_()
    assignment = (probabilities * mask[:, None]).mT
    modularity, balance = modularity_loss(assignment, graph), balance_loss(assignment)
    want = f'dmon_k{neighbours}' + '_single_graph' * single_graph
    assert_close(modularity.mean().detach(), case[f'{want}_loss'], rtol=1e-10, atol=0)
    assert_close(balance.mean().detach(), case[f'{want}_collapse'], rtol=1e-10, atol=0)
    if f'{want}_grad_prob' in case:
        (modularity.mean() + balance.mean()).backward()
        assert_close(probabilities.grad, case[f'{want}_grad_prob'], rtol=1e-8, atol=1e-12)


@ON_DEVICES
@pytest.mark.parametrize('cut', [False, True])
def test_segments(recorded_hsg_ops, cut, device):
    case = recorded_tensors(recorded_hsg_ops, device)
    regions = case['kmeans_oversegmentation']
    clusters = cluster_pixels(
        case['kmeans_embedding'],
        torch.ones_like(regions, dtype=torch.bool),
        tuple(case['kmeans_grid'].tolist()),
        int(case['kmeans_iterations']),
    )
    segments = cut_along_regions(clusters, regions if cut else regions * 0, num_views=1)
    first = segments.counts.cumsum(0) - segments.counts
    found = (segments.pixel_segment + first[:, None]).flatten()
    want = case['kmeans_segment' if cut else 'kmeans_segment_no_overseg']
    assert torch.equal(found, want)
