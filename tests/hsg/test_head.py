"""HSG's losses: against loops, at the edges, and without waiting for the device."""

import contextlib
import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mmcroc.hsg import contrast
from mmcroc.hsg.contrast import centroid_contrast
from mmcroc.hsg.segment_limit import DeferredLimit
from tests.support.devices import NoWaiting
from tests.support.hsg_models import CHANNELS, SIDE, build_head, embedded_batch, total_loss
from tests.support.hsg_oracle import looped_graph, looped_loss, number_segments, spherical_kmeans

TERMS = ('grouping', 'modularity', 'balance', 'centroid')


def looped_losses(head, embedding, oversegmentation, position):
    """All terms image by image; only the transformers are the head's own."""
    images = len(embedding) // 2
    regions = oversegmentation[:, ::3, ::3]
    pixels = F.normalize(embedding.detach(), dim=1)
    keys, places, node_rows, where_rows = [], [], [], []
    for i in range(images):
        views = [2 * i, 2 * i + 1]
        clusters = torch.stack(
            [
                spherical_kmeans(pixels[v], regions[v] >= 0, head.grid, head.kmeans_iterations)
                for v in views
            ]
        )
        place, key = number_segments(clusters, regions[views])
        place = torch.tensor(place)
        flat = pixels[views].flatten(2).mT.flatten(0, 1)
        where = position.detach().flatten(1).mT.repeat(2, 1)
        node_rows.append([F.normalize(flat[place == s].sum(0), dim=0) for s in range(len(key))])
        where_rows.append([where[place == s].mean(0) for s in range(len(key))])
        keys.append(key)
        places.append(place)
    width = head.max_segments or max(max(map(len, keys)), 1)
    nodes, where = torch.zeros(2, images, width, CHANNELS, dtype=torch.float64)
    mask = torch.zeros(images, width, dtype=torch.bool)
    view = torch.full((images, width), -1)
    for i, key in enumerate(keys):
        for s in range(len(key)):
            nodes[i, s], where[i, s], mask[i, s] = node_rows[i][s], where_rows[i][s], True
            view[i, s] = key[s][0]

    embedding_rows = pixels.flatten(2).mT.flatten(0, 1)
    own = torch.cat(
        [p + width * i if len(k) else p for i, (p, k) in enumerate(zip(places, keys, strict=True))]
    )
    own[torch.cat(places) < 0] = -1

    def contrasted(label_of):
        labels = [label_of(i, s) for i in range(images) for s in range(width)]
        numbers = {label: n for n, label in enumerate(sorted(set(labels)))}
        labels = torch.tensor([numbers[label] for label in labels])
        rows = nodes.flatten(0, 1), own, labels, mask.flatten(), head.concentration
        return looped_loss(embedding_rows, *rows)

    losses = dict(
        loss_appearance=contrasted(lambda i, s: (i, keys[i][s][2] if s < len(keys[i]) else -1))
    )
    existing = [i for i in range(images) if keys[i]]
    below = None
    for level, transformer in enumerate(head.levels, start=1):
        if below is None:
            found = transformer(nodes, where, mask)
            below = found.probabilities
        else:
            groups = torch.zeros(images, below.shape[1], CHANNELS, dtype=torch.float64)
            for i in range(images):
                for k in range(below.shape[1]):
                    members = [
                        m for m in range(width) if mask[i, m] and below[i, :, m].argmax() == k
                    ]
                    if members:
                        groups[i, k] = where[i, members].mean(0)
            found = transformer(found.features, groups)
            below = torch.stack([c @ p for c, p in zip(found.probabilities, below, strict=True)])
        losses[f'loss_grouping_{level}'] = head.grouping_weight * contrasted(
            lambda i, s, below=below: (i, int(below[i, :, s].argmax()))
        )
        modularity, balance = [], []
        for i in existing:
            per_view = head.neighbour_graph == 'view'
            graph = looped_graph(
                nodes[i], mask[i], head.num_neighbours, view[i] if per_view else None
            )
            soft = (below[i] * mask[i]).mT
            degree = graph.sum(1)
            twice = 2 * degree.sum()
            trace = torch.trace(soft.mT @ (graph - degree[:, None] * degree / twice) @ soft)
            modularity.append(1 - trace / twice)
            balance.append(soft.sum(0).norm() * below.shape[1] ** 0.5 / width)
        losses[f'loss_modularity_{level}'] = head.goodness_weight * sum(modularity) / len(existing)
        weight = head.goodness_weight * head.balance_weight
        losses[f'loss_balance_{level}'] = weight * sum(balance) / len(existing)
        rows = F.normalize(found.centroids[existing], dim=-1).flatten(0, 1)
        each = torch.arange(len(rows))
        losses[f'loss_centroid_{level}'] = head.centroid_weight * looped_loss(
            rows, rows, each, each, each >= 0, head.concentration
        )
    return losses


@pytest.mark.parametrize(
    ('num_groups', 'neighbour_graph', 'max_segments', 'an_image_ignored'),
    [
        ([], 'view', 40, False),
        ([4, 2], 'view', 40, False),
        ([4, 2], 'image', None, True),
        ([6, 4, 2], 'view', None, False),
        ([6, 4, 2], 'image', 40, True),
    ],
)
def test_losses_are_those_of_loops(num_groups, neighbour_graph, max_segments, an_image_ignored):
    weights = dict(
        grouping_weight=0.3, goodness_weight=0.7, balance_weight=0.6, centroid_weight=0.2
    )
    head = build_head(
        num_groups=num_groups, neighbour_graph=neighbour_graph, max_segments=max_segments, **weights
    )
    embedding, oversegmentation, position = embedded_batch()
    if an_image_ignored:
        oversegmentation[2:4] = -1
    found = head.loss(embedding, oversegmentation, position)
    with torch.no_grad():
        want = looped_losses(head, embedding, oversegmentation, position)
    assert {name for name in found if name.startswith('loss')} == set(want)
    for name, value in want.items():
        assert_close(
            found[name].item(),
            float(value),
            rtol=1e-9,
            atol=1e-12,
            msg=name,
        )


def test_no_groups_leave_the_appearance_term_only():
    head = build_head(num_groups=[])
    assert set(head.loss(*embedded_batch())) == {
        'loss_appearance',
        'appearance_accuracy',
        'num_segments',
    }
    assert not list(head.parameters())


def test_three_levels_have_all_terms_and_every_weight_a_gradient():
    head, inputs = build_head(num_groups=[6, 4, 2]), embedded_batch()
    losses = head.loss(*inputs)
    assert {f'loss_{term}_{level}' for term in TERMS for level in (1, 2, 3)} < set(losses)
    total_loss(losses).backward()
    assert inputs[0].grad.any() and inputs[2].grad.any()
    for name, parameter in head.named_parameters():
        # A weight that waits for a gradient in vain makes DistributedDataParallel fail.
        assert parameter.grad is not None, name


def test_coarse_groups_are_unions_of_fine_ones():
    head = build_head(num_groups=[6, 4, 2])
    transitions = []
    for transformer in head.levels:
        transformer.register_forward_hook(
            lambda module, args, found: transitions.append(found.probabilities)
        )
    nodes = F.normalize(torch.randn(2, 9, CHANNELS).double(), dim=-1)
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    levels = head.group(nodes * mask[..., None], torch.rand_like(nodes) * mask[..., None], mask)
    for level in (1, 2):
        found, below = (levels[i].probabilities for i in (level, level - 1))
        for n in range(2):
            assert_close(found[n], transitions[level][n] @ below[n])
        assert_close(found.sum(1), torch.ones(2, 9, dtype=torch.float64))
    fine = levels[0].probabilities
    hard = F.one_hot(fine.argmax(1), 6).mT.double()
    for m in range(9):
        for o in range(9):
            if fine[0, :, m].argmax() == fine[0, :, o].argmax():
                assert torch.equal(
                    (transitions[1] @ hard)[0, :, m], (transitions[1] @ hard)[0, :, o]
                )


EDGES = dict(
    an_image_all_ignored=lambda regions: regions[2:4].fill_(-1),
    a_view_all_ignored=lambda regions: regions[3].fill_(-1),
    everything_ignored=lambda regions: regions.fill_(-1),
    one_region_only=lambda regions: regions.fill_(0),
    no_shared_region=lambda regions: regions[1::2].add_(100),
    one_pixel=lambda regions: (regions.fill_(-1), regions[0, :3, :3].fill_(5)),
)


@pytest.mark.parametrize('edge', EDGES)
@pytest.mark.parametrize('norm', ['LN', 'BN1d'])
@pytest.mark.parametrize('max_segments', [40, None])
@pytest.mark.parametrize('grid', [(1, 1), (2, 2)])
def test_losses_and_gradients_stay_finite(edge, norm, max_segments, grid):
    head = build_head(dict(type=norm), max_segments=max_segments, grid=grid)
    embedding, oversegmentation, position = embedded_batch()
    EDGES[edge](oversegmentation)
    losses = head.loss(embedding, oversegmentation, position)
    for name, value in losses.items():
        assert torch.isfinite(value), name
    total_loss(losses).backward()
    for tensor in (embedding, position, *filter(lambda p: p.requires_grad, head.parameters())):
        assert torch.isfinite(tensor.grad).all()


def test_images_of_one_colour_stay_finite():
    head = build_head(max_segments=None, grid=(1, 1))
    embedding = torch.ones(4, CHANNELS, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    regions = torch.zeros(4, SIDE, SIDE, dtype=torch.long)
    position = torch.ones(CHANNELS, SIDE, SIDE, dtype=torch.float64)
    total_loss(head.loss(embedding, regions, position)).backward()
    for tensor in (embedding, *filter(lambda p: p.requires_grad, head.parameters())):
        assert torch.isfinite(tensor.grad).all()


def test_views_without_a_shared_region_take_the_segment_itself():
    head = build_head(num_groups=[], grid=(1, 1))
    embedding, oversegmentation, position = embedded_batch(images=1, regions=1)
    oversegmentation[1] = 7
    pixels = F.normalize(embedding[0].flatten(1).mT, dim=1)
    here, there = (F.normalize(x.flatten(1).mT, dim=1).sum(0) for x in embedding)
    here, there = F.normalize(here, dim=0), F.normalize(there, dim=0)
    first = F.softplus(16 * (pixels @ there - pixels @ here))
    pixels = F.normalize(embedding[1].flatten(1).mT, dim=1)
    second = F.softplus(16 * (pixels @ here - pixels @ there))
    want = torch.cat([first, second]).mean()
    assert_close(head.loss(embedding, oversegmentation, position)['loss_appearance'], want)


def test_too_many_segments_stop_the_run_and_the_error_says_what_to_do():
    embedding, oversegmentation, position = embedded_batch()
    most = int(build_head(max_segments=None).segment(embedding, oversegmentation).counts.max())
    build_head(max_segments=most).loss(embedding, oversegmentation, position)
    with pytest.raises(ValueError, match=rf'{most} segments.*max_segments={most - 1}: raise.*grid'):
        build_head(max_segments=most - 1).loss(embedding, oversegmentation, position)


def test_without_max_segments_tables_are_as_wide_as_the_batch_needs():
    embedding, oversegmentation, _ = embedded_batch()
    segments = build_head(max_segments=None).segment(embedding, oversegmentation)
    assert segments.mask.shape[1] == segments.counts.max()


def test_the_appearance_term_does_not_depend_on_the_tables_width():
    narrow, wide = (
        build_head(max_segments=m).loss(*embedded_batch())['loss_appearance'] for m in (None, 200)
    )
    assert_close(narrow, wide)


def test_chunks_of_the_contrasts_change_nothing(monkeypatch):
    def run():
        head, inputs = build_head(), embedded_batch()
        losses = head.loss(*inputs)
        total_loss(losses).backward()
        return *losses.values(), inputs[0].grad, inputs[2].grad

    whole = run()
    monkeypatch.setattr(contrast, 'CPU_CHUNK_ENTRIES', 700)
    for found, want in zip(run(), whole, strict=True):
        assert_close(found, want)


def test_accuracy_is_the_share_of_the_five_nearest_with_the_region():
    head, (embedding, oversegmentation, position) = (
        build_head(grid=(1, 1)),
        embedded_batch(images=2),
    )
    found = head.loss(embedding, oversegmentation, position)['appearance_accuracy']
    regions, pixels = oversegmentation[:, ::3, ::3], F.normalize(embedding, dim=1)
    rows = [
        (i // 2, r, F.normalize(pixels[i, :, regions[i] == r].sum(1), dim=0))
        for i in range(4)
        for r in range(4)
        if (regions[i] == r).any()
    ]
    shares = []
    for image, region, prototype in rows:
        nearest = sorted(rows, key=lambda row: -float(row[2] @ prototype))[:5]
        shares.append(sum(row[:2] == (image, region) for row in nearest) / 5)
    assert_close(float(found), sum(shares) / len(shares), rtol=1e-6, atol=0)


def test_centroid_contrast_parts_the_centroids():
    torch.manual_seed(2)
    centroids = (1 + 0.2 * torch.randn(2, 3, CHANNELS)).requires_grad_()
    exists = torch.tensor([True, True])
    optimiser = torch.optim.SGD([centroids], lr=0.1)
    losses = []
    for _ in range(50):
        loss = centroid_contrast(centroids, exists, 16.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    rows = F.normalize(torch.randn(1, 3, 4).double(), dim=-1)
    similar = (16 * rows[0] @ rows[0].mT).exp()
    want = -sum(math.log(similar[i, i] / similar[i].sum()) for i in range(3)) / 3
    assert_close(centroid_contrast(rows, exists[:1], 16.0).item(), want)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_groups=[4, 8]), 'num_groups must fall'),
        (dict(num_groups=[4, 4]), 'num_groups must fall'),
        (dict(num_groups=[1]), 'at least 2'),
        (dict(neighbour_graph='both'), "'both' is none of"),
        (dict(grid=(0, 4)), 'grid'),
        (dict(kmeans_iterations=0), 'kmeans_iterations'),
        (dict(num_neighbours=0), 'num_neighbours'),
        (dict(max_segments=0), 'max_segments'),
    ],
)
def test_bad_settings_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        build_head(**settings)


@pytest.fixture
def meta_device(monkeypatch):
    """A device without numbers, where the code takes a GPU's branches; autocast lacks it."""
    monkeypatch.setattr(torch, 'autocast', lambda *args, **kwargs: contextlib.nullcontext())
    # On a CPU the limit is compared at once; on a GPU it is copied aside.
    monkeypatch.setattr(DeferredLimit, 'check', lambda self, value: None)
    return lambda x: x.detach().to('meta').requires_grad_(x.requires_grad)


@pytest.mark.parametrize('num_groups', [[], [4, 2]])
@pytest.mark.parametrize('grid', [(1, 1), (2, 2)])
@pytest.mark.parametrize('norm', ['LN', 'BN1d'])
def test_a_step_asks_the_device_for_nothing(meta_device, num_groups, grid, norm):
    head = build_head(dict(type=norm), max_segments=256, grid=grid, num_groups=num_groups).to(
        'meta'
    )
    with NoWaiting():
        total_loss(head.loss(*map(meta_device, embedded_batch()))).backward()


def test_tables_as_wide_as_needed_ask_the_device(meta_device):
    head = build_head(max_segments=None).to('meta')
    with pytest.raises(AssertionError, match='local_scalar_dense'), NoWaiting():
        head.loss(*map(meta_device, embedded_batch()))


def test_the_watch_for_waiting_sees_it():
    x = torch.arange(3.0)
    asking = (
        x.sum().item, x.nonzero, x.unique, lambda: x[x > 1], lambda: bool(x[0]),
        lambda: x.masked_select(x > 1),
    )  # fmt: skip
    for ask in asking:
        with pytest.raises(AssertionError), NoWaiting():
            ask()
