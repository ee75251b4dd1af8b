"""Learning rate and weight decay of every parameter that a pretraining config trains.

As the released implementations have them: multiples of the config's own, by the parameter's name.
"""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmcroc.registry import MODELS
from tests.support.paths import CONFIGS

#: Of CrOC and DINO: (lr, weight decay) by name. [CLS] and the position embedding do decay.
SELF_DISTILLING = {
    r'(backbone|neck)\..*\.bias': (1, 0),
    r'backbone\.(layers\.\d+\.)?ln\d\.weight': (1, 0),
    r'backbone\.(cls_token|pos_embed)': (1, 1),
    r'backbone\.patch_embed\.projection\.weight': (1, 1),
    r'backbone\.layers\.\d+\.(attn|ffn)\..*\.weight': (1, 1),
    r'neck\.(mlp\.\d+|prototypes|cluster_prototypes)\.weight': (1, 1),
}
#: Of post-training: the last 3 of 12 blocks and the final norm, at a tenth of the heads' rate.
POST = {
    r'neck\..*\.bias': (1, 0),
    r'neck\.(mlp\.\d+|prototypes|cluster_prototypes)\.weight': (1, 1),
    r'backbone\.(model\.norm|ln1)\.(weight|bias)': (0.1, 0),
    r'backbone\.(layers|model\.blocks)\.(9|10|11)\.(.*\.bias|(ln|norm)\d\.weight|.*gamma.*|.*_bias)':
        (0.1, 0),
    r'backbone\.(layers|model\.blocks)\.(9|10|11)\.(attn\.(qkv|proj)|ffn\..*|mlp\..*)\.weight'
    r'(?<!gamma2\.weight)': (0.1, 1),
}  # fmt: skip
#: Of HSG; stage 1 on COCO trains no more than this.
NETWORK = {
    r'(backbone|neck\.projection)\..*weight': (1, 1),
    r'(backbone|neck\.projection)\..*bias': (2, 0),
}
CITYSCAPES = {
    **NETWORK,
    r'neck\.position\.(row|column)\.weight': (1, 1),
    r'head\.levels\.\d\.query\.weight': (1, 1),
    r'head\.levels\.\d\.(?!query).*weight': (1, 1),
    r'head\.levels\..*bias': (2, 0),
}
COCO_STAGE_2 = {
    **NETWORK,
    r'neck\.position\.(row|column)\.weight': (10, 1),
    r'head\.levels\.\d\.query\.weight': (10, 1),
    r'head\.levels\.\d\.(?!query).*weight': (10, 1),
    r'head\.levels\..*bias': (20, 0),
}
#: Of HSG on a frozen backbone without an embedding.
FROZEN = {name: factors for name, factors in CITYSCAPES.items() if name not in NETWORK}
HSG = dict(
    hsg_r50_coco_stage1=NETWORK, hsg_r50_coco_stage2=COCO_STAGE_2, hsg_vit_frozen_folder=FROZEN
)


def table_of(name):
    if '_post-' in name:
        return POST
    return HSG.get(name, CITYSCAPES) if name.startswith('hsg_') else SELF_DISTILLING


@pytest.mark.parametrize('name', sorted(path.stem for path in CONFIGS.glob('*.py')))
def test_each_parameter_has_the_released_rate_and_decay(name):
    assert name.startswith(('croc_', 'dino_', 'hsg_'))
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope(cfg.default_scope)
    if name == 'hsg_vit_frozen_folder':
        cfg.model.backbone.model = 'random'
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    lr = cfg.optim_wrapper.optimizer.lr
    decay = cfg.optim_wrapper.optimizer.weight_decay
    names = {id(p): key for key, p in model.named_parameters()}
    found = {
        names[id(p)]: (group['lr'] / lr, group['weight_decay'] / decay)
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    assert set(found) == {key for key, p in model.named_parameters() if p.requires_grad}
    table, used = table_of(name), set()
    for key, multiples in found.items():
        patterns = [pattern for pattern in table if re.fullmatch(pattern, key)]
        assert len(patterns) == 1, f'{key}: {patterns}'
        assert multiples == pytest.approx(table[patterns[0]]), key
        used.update(patterns)
    assert used == set(table)
