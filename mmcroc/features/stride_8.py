"""ResNets at twice their training's resolution, with the same weights."""

RESNETS = ('mmseg.ResNet', 'mmseg.ResNetV1c', 'mmseg.ResNetV1d')
#: Those of bottlenecks. MMSegmentation's basic blocks dilate only one of their two convolutions.
DEPTHS = (50, 101, 152)


def at_stride_8(cfg: dict) -> dict:
    """The config of a ResNet of stride 16 at stride 8, as HSG infers (arXiv 2204.11432).

    Stage 4's stride moves into its dilation, and all that follows is dilated twice as far: the
    stride-16 map is every other pixel of the stride-8 map. ``_base_/models/hsg_r50_stride8.py`` is
    the result for HSG's ResNet-50.

    Args:
        cfg: Of a backbone, its type with its scope.

    Returns:
        The config changed, or as it is if it is no ResNet-50, 101 or 152 of MMSegmentation with
        strides (1, 2, 2, 1) and a multi-grid.
    """
    strides, multi_grid = tuple(cfg.get('strides', ())), cfg.get('multi_grid')
    if cfg['type'] not in RESNETS or cfg['depth'] not in DEPTHS:
        return cfg
    if strides != (1, 2, 2, 1) or not multi_grid:
        return cfg
    dilations = cfg.get('dilations', (1, 1, 1, 1))
    return dict(
        cfg,
        strides=(1, 2, 1, 1),
        dilations=(*dilations[:2], 2 * dilations[2], 2 * dilations[3]),
        contract_dilation=True,
        multi_grid=tuple(2 * dilation for dilation in multi_grid),
    )
