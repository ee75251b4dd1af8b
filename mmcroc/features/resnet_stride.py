"""ResNets of stride 32 at stride 16: twice the resolution, with the same weights."""

from torch import nn


def dilate_last_stage(backbone: nn.Module) -> None:
    """Let the last stage of a ResNet keep its input's resolution, in place.

    Its strides become 1, and every 3x3 convolution behind the strided one is dilated by 2, so that
    it meets the neighbours it was trained on. The strided one itself stays undilated.

    Reference: Yu, Koltun and Funkhouser, *Dilated residual networks*, CVPR 2017. Leopart evaluates
    ResNets so.

    Args:
        backbone: Any module. Only ResNets as torchvision, timm, MMPretrain, MMSegmentation and
            transformers build them change, and only where their last stage has a stride.
    """
    for name, stage in backbone.named_modules():
        if name.rpartition('.')[2] != 'layer4' and not _is_last_of_transformers(name, stage):
            continue
        strided = [m for m in stage.modules() if getattr(m, 'stride', 1) in (2, (2, 2))]
        for module in strided:
            module.stride = (1, 1)
            if isinstance(module, nn.AvgPool2d):  # of a shortcut
                module.kernel_size = (1, 1)
        for module in stage.modules() if strided else ():
            if getattr(module, 'kernel_size', None) == (3, 3) and module not in strided:
                module.dilation = module.padding = (2, 2)


def _is_last_of_transformers(name, module):
    return type(module).__name__ == 'ResNetStage' and name.endswith('stages.3')
