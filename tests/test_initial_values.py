"""Where training starts: the distributions of the released implementations' initial values.

Of models as configs build them, after ``init_weights()``, which MMEngine's Runner calls.
"""

import math
from itertools import pairwise

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmcroc.registry import MODELS
from tests.support.paths import CONFIGS

HSG = sorted(path.stem for path in CONFIGS.glob('hsg_r*.py'))
LEVELS = (0, 1)


def build(name):
    """The model of a config as training starts from it."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


@pytest.fixture(scope='module')
def hsg():
    return build('hsg_r50_coco_stage2')


@pytest.fixture(scope='module', params=['croc_vit-s_coco', 'dino_vit-s_coco'])
def self_distilling(request):
    return build(request.param)


def assert_uniform(values, bound, low=None):
    """Uniform on [low, bound), low = -bound by default."""
    values, low = values.detach(), -bound if low is None else low
    n, width = values.numel(), bound - low
    assert low <= values.min() and values.max() <= bound
    # Of n uniform numbers the extremes miss the ends by about width / n.
    assert values.min() < low + 12 * width / n and values.max() > bound - 12 * width / n
    assert abs(values.mean() - (low + bound) / 2) < 5 * width / math.sqrt(12 * n)
    assert values.std().item() == pytest.approx(width / math.sqrt(12), rel=4 / math.sqrt(n))


def assert_normal(values, std):
    """Normal with mean 0, not cut off: its moments of order 1, 2 and 4."""
    values, n = values.detach(), values.numel()
    assert abs(values.mean()) < 5 * std / math.sqrt(n)
    assert values.std().item() == pytest.approx(std, rel=5 / math.sqrt(n))
    assert (values / std).pow(4).mean().item() == pytest.approx(3, abs=50 / math.sqrt(n))


@pytest.mark.parametrize('name', HSG)
def test_every_batch_norm_of_hsg_starts_at_one(name):
    """Also the last of a residual block, which MMSegmentation would start at zero.

    But that behind the centroids where a config says how sharp they start.
    """
    model = build(name)
    transformer = Config.fromfile(CONFIGS / f'{name}.py').model.head.transformer
    sharp = {f'head.levels.{level}.centroid.2': transformer.get('sharpness', 1) for level in LEVELS}
    norms = {key: m for key, m in model.named_modules() if isinstance(m, _BatchNorm)}
    assert len(norms) > 20
    for key, norm in norms.items():
        assert (norm.weight == sharp.get(key, 1)).all() and (norm.bias == 0).all(), key


def test_convolutions_of_hsgs_resnet_start_kaiming_normal(hsg):
    convolutions = [m for m in hsg.backbone.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 53
    for m in convolutions:
        assert m.bias is None
        fan_out = m.out_channels * m.kernel_size[0] * m.kernel_size[1]
        assert_normal(m.weight, math.sqrt(2 / fan_out))


def test_hsgs_embedding_starts_at_torchs_default(hsg):
    first, last = hsg.neck.projection[0].conv, hsg.neck.projection[1]
    for convolution in (first, last):
        assert_uniform(convolution.weight, 1 / math.sqrt(2048))
    assert first.bias is None
    assert_uniform(last.bias, 1 / math.sqrt(2048))


def test_hsgs_positions_start_uniform_from_0_to_1(hsg):
    for table in (hsg.neck.position.row.weight, hsg.neck.position.column.weight):
        assert table.shape == (50, 64)
        assert_uniform(table, 1, low=0)
    assert not hsg.neck.position.trained.any()


@pytest.mark.parametrize('part', ['encoder', 'decoder', 'start'])
@pytest.mark.parametrize('level', LEVELS)
def test_matrices_of_hsgs_transformers_start_xavier_uniform(hsg, level, part):
    part = getattr(hsg.head.levels[level], part)
    matrices = {key: p for key, p in part.named_parameters() if p.dim() > 1}
    assert len(matrices) >= 2
    for matrix in matrices.values():
        assert_uniform(matrix, math.sqrt(6 / sum(matrix.shape)))


@pytest.mark.parametrize('part', ['encoder', 'decoder'])
@pytest.mark.parametrize('level', LEVELS)
def test_layers_of_a_stack_start_as_copies_but_for_their_matrices(hsg, level, part):
    """The release copies a layer and then draws every matrix anew."""
    for a, b in pairwise(getattr(hsg.head.levels[level], part)):
        drawn = 0
        for (key, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
            assert torch.equal(p, q) == (p.dim() == 1), key
            drawn += p.dim() == 1 and len(p.unique()) > 1
        assert drawn == 2  # biases of the feed-forward


@pytest.mark.parametrize('level', LEVELS)
def test_biases_of_hsgs_attentions_start_at_zero_and_others_at_torchs_default(hsg, level):
    level = hsg.head.levels[level]
    attentions = [m for m in level.modules() if isinstance(m, nn.MultiheadAttention)]
    assert len(attentions) == 6
    for m in attentions:
        assert not m.in_proj_bias.any() and not m.out_proj.bias.any()
    for layer in (*level.encoder, *level.decoder):
        assert_uniform(layer.feed_forward.linear1.bias, 1 / math.sqrt(128))
        assert_uniform(layer.feed_forward.linear2.bias, 1 / math.sqrt(256))
    assert_uniform(level.start[-1].bias, 1 / math.sqrt(256))


@pytest.mark.parametrize('level', LEVELS)
def test_hsgs_queries_start_normal_and_the_branches_at_torchs_default(hsg, level):
    level = hsg.head.levels[level]
    assert_normal(level.query.weight, 1)
    branches = [branch for branch in (level.centroid, level.feature) if branch is not None]
    for branch in branches:
        assert branch[1].bias is None
        assert_uniform(branch[1].weight, 1 / math.sqrt(128))


def test_linear_layers_of_crocs_vit_and_trunk_start_normal(self_distilling):
    vit, trunk = self_distilling.backbone, self_distilling.neck.mlp
    linear = [m for part in (vit, trunk) for m in part.modules() if isinstance(m, nn.Linear)]
    assert len(linear) == 12 * 4 + 3
    for m in linear:
        assert_normal(m.weight, 0.02)
        assert not m.bias.any()
    assert_normal(vit.cls_token, 0.02)
    assert_normal(vit.pos_embed, 0.02)


def test_layer_norms_of_crocs_vit_start_at_one_and_zero(self_distilling):
    norms = [m for m in self_distilling.backbone.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 25
    for norm in norms:
        assert norm.eps == 1e-6
        assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_crocs_patch_convolution_and_last_layers_start_at_torchs_default(self_distilling):
    patches, neck = self_distilling.backbone.patch_embed.projection, self_distilling.neck
    bound = 1 / math.sqrt(3 * 16 * 16)
    assert_uniform(patches.weight, bound)
    assert_uniform(patches.bias, bound)
    last = [m for m in (neck.prototypes, neck.cluster_prototypes) if m is not None]
    assert [len(m.weight) for m in last] == [65536, 8192][: len(last)]
    for m in last:
        assert_uniform(m.weight, 1 / math.sqrt(256))


def test_crocs_teacher_starts_as_the_students_copy(self_distilling):
    pairs = self_distilling.student_teacher_pairs()
    assert len(pairs) > 150
    assert all(torch.equal(student, teacher) for student, teacher in pairs)
