"""The online clustering against the released one, loops, an exact solver; its properties."""

import ast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linprog

from mmcroc.croc import clustering
from mmcroc.croc.assignments import ClusterAssignments, cluster_labels, cluster_representations
from mmcroc.croc.clustering import (
    merge_closest_clusters,
    online_clustering,
    patch_positions,
    sample_seeds,
    sinkhorn,
)
from tests.support.devices import ON_DEVICES


class Case:
    """A recorded clustering on a device: inputs by view, settings under our names."""

    def __init__(self, path, device):
        with np.load(path) as arrays:
            self.want = {
                k: torch.as_tensor(arrays[k]).to(device) for k in arrays.files if k != 'cfg'
            }
            cfg = ast.literal_eval(str(arrays['cfg']))
        tokens, keys = (self.want[k].unflatten(0, (2, -1)) for k in ('tokens', 'keys'))
        self.cls_tokens, self.tokens = tokens[:, :, 0], tokens[:, :, 1:]
        self.cls_keys, self.keys = keys[..., 0, :], keys[..., 1:, :]
        self.grid = (cfg['grid'], cfg['grid'])
        self.settings = dict(
            num_start_clusters=cfg['start_clusters'],
            max_clusters=cfg['max_clusters'],
            position_weight=cfg['pos_alpha'],
            sinkhorn_reg=cfg['sinkhorn_lambda'],
            sinkhorn_iterations=cfg['sinkhorn_iters'],
            token_temperature=cfg['marginals_temp_r'],
            cluster_temperature=cfg['marginals_temp_c'],
            uniform_marginals=cfg['uniform_marginals'],
        )

    def cluster(self, **overrides):
        return online_clustering(
            self.keys,
            self.cls_keys,
            patch_positions(self.want['crop_boxes'], self.grid),
            **{'seeds': self.want['seed_tokens'], **self.settings, **overrides},
        )


@pytest.fixture
def device():
    """Of a test without a parameter of this name."""
    return 'cpu'


@pytest.fixture
def case(recorded_croc_clustering, device):
    return Case(recorded_croc_clustering, device)


def random_problem(batch=3, heads=2, n=25, d=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randn(2, batch, heads, n, d, generator=g)
    cls_tokens = torch.randn(2, batch, heads, d, generator=g)
    positions = torch.rand(2, batch, n, 2, generator=g) * 300
    seeds = torch.stack(
        [
            torch.stack([torch.randperm(2 * n, generator=g)[:6] for _ in range(heads)])
            for _ in range(batch)
        ]
    )
    return tokens, cls_tokens, positions, seeds


@pytest.mark.parity
@ON_DEVICES
def test_positions_reproduce_the_released_ones(case):
    positions = patch_positions(case.want['crop_boxes'], case.grid)
    torch.testing.assert_close(positions, case.want['positions'], atol=1e-3, rtol=0)


@pytest.mark.parity
@ON_DEVICES
def test_clustering_reproduces_the_released_one(case):
    found = case.cluster()
    want = case.want['assignments']
    used = want.shape[-1]
    plans = found.plans[..., :used]
    assert torch.equal(plans > 0, want > 0)
    torch.testing.assert_close(plans, want, rtol=1e-4, atol=0)
    assert not found.plans[..., used:].any()
    assert torch.equal(found.valid[..., :used].flatten().nonzero()[:, 0], case.want['valid'])
    assert not found.valid[..., used:].any()
    mean = found.num_clusters.double().mean().item()
    assert mean == pytest.approx(case.want['num_clusters'].item())


@pytest.mark.parity
@ON_DEVICES
def test_cluster_representations_reproduce_the_released_ones(case):
    found = case.cluster()
    for name, scale, shift in (('teacher', 1, 0), ('student', 0.5, 0.1)):
        tokens, cls_tokens = (scale * t + shift for t in (case.tokens, case.cls_tokens))
        norm = cls_tokens.norm(dim=-1).mean()
        centroids = cluster_representations(found.plans, tokens, norm)[:, found.valid]
        torch.testing.assert_close(centroids, case.want[f'{name}_centroids'], rtol=1e-4, atol=2e-5)


@pytest.mark.parity
@ON_DEVICES
def test_seeds_are_sampled_with_the_released_probabilities(case, monkeypatch):
    asked = []

    def sample(probability, num_seeds):
        asked.append(probability)
        return case.want['seed_tokens']

    monkeypatch.setattr(clustering, 'sample_seeds', sample)
    case.cluster(seeds=None)
    torch.testing.assert_close(asked, [case.want['sampling_prob']], rtol=1e-4, atol=1e-8)


def test_seeds_are_distinct_and_as_probable_as_drawn_one_by_one():
    torch.manual_seed(0)
    probability = torch.tensor([0.5, 0.3, 0.15, 0.05])
    draws = sample_seeds(probability.expand(40000, 4), 2)
    assert (draws[:, 0] != draws[:, 1]).all()
    counts = torch.zeros(4, 4).index_put_(tuple(draws.T), torch.ones(len(draws)), accumulate=True)
    # Drawn one after another: P(i, then j) = p_i p_j / (1 - p_i).
    want = probability[:, None] * probability / (1 - probability[:, None])
    want.fill_diagonal_(0)
    torch.testing.assert_close(counts / len(draws), want, atol=0.01, rtol=0)


def test_problems_scaled_by_themselves_do_not_influence_each_other():
    tokens, cls_tokens, positions, seeds = random_problem()
    settings = dict(num_start_clusters=6, max_clusters=6, cost_scaling='problem')
    together = online_clustering(tokens, cls_tokens, positions, seeds=seeds, **settings)
    for b in range(3):
        alone = online_clustering(
            tokens[:, b : b + 1],
            cls_tokens[:, b : b + 1],
            positions[:, b : b + 1],
            seeds=seeds[b : b + 1],
            **settings,
        )
        torch.testing.assert_close(alone.plans[:, 0], together.plans[:, b])
        assert torch.equal(alone.valid[0], together.valid[b])


def test_batch_scaling_ties_the_problems_of_a_batch_together():
    tokens, cls_tokens, positions, seeds = random_problem()
    # One image with an odd cost: its first keys repeat, all else is far.
    tokens[:, 2] = F.normalize(tokens[:, 2], dim=-1) + 5
    settings = dict(num_start_clusters=6, max_clusters=6)
    together = online_clustering(tokens, cls_tokens, positions, seeds=seeds, **settings)
    alone = online_clustering(
        tokens[:, :1], cls_tokens[:, :1], positions[:, :1], seeds=seeds[:1], **settings
    )
    assert not torch.allclose(alone.plans[:, 0], together.plans[:, 0])


def test_swapping_the_views_swaps_the_assignments():
    tokens, cls_tokens, positions, seeds = random_problem()
    n = tokens.shape[-2]
    settings = dict(num_start_clusters=6, max_clusters=5)
    first = online_clustering(tokens, cls_tokens, positions, seeds=seeds, **settings)
    second = online_clustering(
        tokens.flip(0),
        cls_tokens.flip(0),
        positions.flip(0),
        seeds=(seeds + n) % (2 * n),
        **settings,
    )
    torch.testing.assert_close(second.plans, first.plans.flip(0), rtol=1e-4, atol=1e-6)


def test_obvious_clusters_are_found():
    """Three tight groups of keys and nothing else to go by: three clusters, one per group."""
    torch.manual_seed(0)
    group = torch.arange(30) % 3
    keys = F.one_hot(group, 8).float() + 0.01 * torch.randn(2, 1, 1, 30, 8)
    cls_keys = torch.ones(2, 1, 1, 8)
    found = online_clustering(
        keys,
        cls_keys,
        torch.rand(2, 1, 30, 2),
        num_start_clusters=6,
        max_clusters=6,
        position_weight=0.0,
        seeds=torch.arange(6)[None, None],
    )
    labels = found.plans[:, 0, 0].argmax(dim=-1)  # (2, 30)
    pairs = {(int(g), int(label)) for view in labels for g, label in zip(group, view, strict=True)}
    assert len(pairs) == 3 and found.num_clusters.item() == 3
    assert found.valid.sum() == 3


def merge_by_loops(plan, tokens):
    """One problem: the definition, written out."""
    count = plan.shape[-1]
    means = [(plan[:, k] / plan[:, k].sum()) @ tokens for k in range(count)]
    best = max(
        ((i, j) for i in range(count) for j in range(i)),
        key=lambda p: float(means[p[0]] @ means[p[1]]),
    )
    kept = [plan[:, k] for k in range(count) if k not in best]
    return torch.stack([*kept, plan[:, best[0]] + plan[:, best[1]]], dim=-1)


def test_merging_agrees_with_loops():
    torch.manual_seed(0)
    plan = torch.rand(4, 3, 20, 7)
    tokens = F.normalize(torch.randn(4, 3, 20, 5), dim=-1)
    described = torch.cat([tokens, torch.rand(4, 3, 20, 2), torch.ones(4, 3, 20, 1)], -1)
    merged = merge_closest_clusters(plan.mT @ described, 5)
    for b in range(4):
        for h in range(3):
            columns = merge_by_loops(plan[b, h], tokens[b, h])
            torch.testing.assert_close(merged[b, h], columns.mT @ described[b, h])


@ON_DEVICES
def test_the_plan_is_float32_under_autocast(device):
    tokens, cls_tokens, positions, seeds = (x.to(device) for x in random_problem())
    settings = dict(num_start_clusters=6, max_clusters=6, seeds=seeds)
    plain = online_clustering(tokens, cls_tokens, positions, **settings)
    final = torch.randn(2, 3, 25, 10, device=device)
    with torch.autocast(device, torch.bfloat16):
        under = online_clustering(tokens, cls_tokens, positions, **settings)
        represented = cluster_representations(under.plans, final.bfloat16(), final.norm())
    assert under.plans.dtype == represented.dtype == torch.float32
    assert torch.equal(plain.plans, under.plans)


def test_one_patch_or_equal_tokens_give_no_nan():
    found = online_clustering(
        torch.ones(2, 1, 1, 4, 3),
        torch.ones(2, 1, 1, 3),
        torch.zeros(2, 1, 4, 2),
        num_start_clusters=3,
        max_clusters=3,
    )
    assert found.plans.isfinite().all()


def test_representations_are_weighted_means_at_the_given_norm():
    tokens, cls_tokens, positions, seeds = random_problem()
    found = online_clustering(
        tokens, cls_tokens, positions, num_start_clusters=6, max_clusters=6, seeds=seeds
    )
    final = torch.randn(2, 3, 25, 10)
    got = cluster_representations(found.plans, final, torch.tensor(7.0))
    for v, b, h, k in np.ndindex(*got.shape[:4]):
        total = sum(found.plans[v, b, h, i, k] * final[v, b, i] for i in range(25))
        want = 7 * total / total.norm() if total.norm() > 0 else total
        torch.testing.assert_close(got[v, b, h, k], want, rtol=1e-4, atol=1e-5)


def test_labels_number_the_plans_clusters_alike_in_both_views(case):
    """By loops: a token's cluster, or -1 where the other view has none of it."""
    found = case.cluster()
    labels = cluster_labels(found)
    for image, head in np.ndindex(*found.num_clusters.shape):
        tokens = [
            [int(np.argmax(row)) for row in view[image, head].numpy()] for view in found.plans
        ]
        both = set(tokens[0]) & set(tokens[1])
        for view in (0, 1):
            want = [label if label in both else -1 for label in tokens[view]]
            assert labels[view, image, head].tolist() == want


def test_a_cluster_of_one_view_has_no_label():
    plans = torch.zeros(2, 1, 1, 2, 3)
    plans[0, 0, 0, :, 0] = 1  # view 1: cluster 0 alone
    plans[1, 0, 0, 0, 0] = plans[1, 0, 0, 1, 2] = 1
    valid = torch.tensor([[[True, False, False]]])
    labels = cluster_labels(ClusterAssignments(plans, valid, torch.tensor([[3]])))
    assert labels.tolist() == [[[[0, 0]]], [[[0, -1]]]]


def marginals(n, k, seed=0):
    g = torch.Generator().manual_seed(seed)
    rows, columns = torch.rand(n, generator=g) + 0.1, torch.rand(k, generator=g) + 0.1
    return rows / rows.sum(), columns / columns.sum()


def test_columns_hold_after_one_round_and_rows_in_the_limit():
    rows, columns = marginals(30, 5)
    cost = torch.rand(30, 5)
    few = sinkhorn(cost, rows, columns, 20.0, 1)
    torch.testing.assert_close(few.sum(0), columns)
    many = sinkhorn(cost.double(), rows.double(), columns.double(), 20.0, 500)
    torch.testing.assert_close(many.sum(1), rows.double(), rtol=1e-5, atol=1e-8)


def test_strong_regularisation_approaches_the_optimal_transport():
    rows, columns = (m.double().numpy() for m in marginals(12, 4))
    rows, columns = rows / rows.sum(), columns / columns.sum()
    cost = np.random.default_rng(0).random((12, 4))
    constraints = [np.kron(np.eye(12), np.ones(4)), np.kron(np.ones(12), np.eye(4))]
    best = linprog(cost.ravel(), A_eq=np.vstack(constraints), b_eq=np.r_[rows, columns]).fun
    plan = sinkhorn(*(torch.from_numpy(x) for x in (cost, rows, columns)), 500.0, 5000)
    assert abs((plan.numpy() * cost).sum() - best) < 5e-3


def test_a_row_that_underflows_becomes_small_not_nan():
    cost = torch.tensor([[0.0, 0.0], [1e6, 1e6]])
    plan = sinkhorn(cost, torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5]))
    assert plan.isfinite().all()
    assert (plan[1] == 1e-8).all()


def test_a_view_of_the_whole_image_has_its_patches_where_they_are():
    x, y = patch_positions(torch.tensor([0.0, 0.0, 64.0, 32.0, 0.0]), (2, 4)).T
    assert x[:4].tolist() == [7.5, 23.5, 39.5, 55.5]
    assert y.tolist() == [7.5] * 4 + [23.5] * 4


def test_a_flip_reverses_columns_only():
    box = torch.tensor([10.0, 20.0, 100.0, 50.0, 0.0])
    plain = patch_positions(box, (3, 5)).view(3, 5, 2)
    box[4] = 1
    flipped = patch_positions(box, (3, 5)).view(3, 5, 2)
    torch.testing.assert_close(flipped, plain.flip(1))


def test_boxes_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r'5 numbers.*\(2, 4\)'):
        patch_positions(torch.zeros(2, 4), (2, 2))
