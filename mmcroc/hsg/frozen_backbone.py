"""Any frozen backbone for HSG, which then trains nothing but what groups its tokens."""

from typing import Any

from mmengine.config import ConfigDict
from torch import Tensor

from mmcroc.features.checkpoint_backbone import build_foreign, find_backbone, load_all
from mmcroc.features.pretrained_backbone import FrozenModel, UnnamedModelError, load_backbone
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_file import read_checkpoint, split_checkpoint


class UnnamedBackboneError(UnnamedModelError):
    """No backbone was named in a config that trains on the tokens of any."""

    def __init__(self) -> None:
        ValueError.__init__(
            self,
            'no backbone was named whose tokens are to be grouped: python tools/train.py CONFIG '
            '--backbone MODEL; MODEL is a checkpoint, timm:NAME, hf:NAME, ...: docs/weights.md',
        )


@MODELS.register_module()
class FrozenBackbone(FrozenModel):
    """A backbone by its name, never trained, whose weights are in the checkpoints of its model.

    It takes no part in training: it stays in evaluation, without gradients.

    Args:
        model: Name as :func:`mmcroc.features.load_model` takes it; None is refused.
        network: Config of its architecture, from which a checkpoint of the whole model is restored
            without ``model``. None: what ``model`` names is needed then too.

    Raises:
        UnnamedBackboneError: There is no ``model``.
    """

    def __init__(self, model: str | None = None, network: dict | None = None):
        if model is None:
            raise UnnamedBackboneError
        super().__init__(build_foreign(network, model) if network else load_backbone(model), model)
        self.has_weights = network is None

    def init_weights(self) -> None:
        """The weights of ``model``."""
        if not self.has_weights:
            _, state = _network_of(self.name)
            load_all(self.model, state, self.name)
        self.has_weights = self._is_init = True


def freeze(cfg: ConfigDict, name: str) -> FrozenBackbone:
    """Let an HSG group the tokens of a frozen MODEL.

    Args:
        cfg: Config of the HSG; its backbone and the widths of neck and transformers are set.
        name: Name as :func:`mmcroc.features.load_model` takes it.

    Returns:
        The backbone, without its weights.

    Raises:
        FileNotFoundError, ValueError: There is no such model, or it does not give a map of tokens.
    """
    network, _ = _network_of(name)
    backbone = FrozenBackbone(name, network)
    channels = backbone.channels
    cfg.backbone = dict(type='mmcroc.FrozenBackbone', model=name, network=network)
    cfg.neck.in_channels = channels
    if cfg.neck.out_channels is None:
        cfg.head.transformer.channels = channels
    return backbone


def _network_of(name: str) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    """Config and weights of a MODEL; no config where only its name, a library's, tells."""
    kind, _, rest = name.partition(':')
    if kind == 'timm':
        network = dict(
            type='mmcroc.TimmBackbone', model_name=rest.partition('@')[0], pretrained=False
        )
        return network, load_backbone(name).state_dict()
    path, part = (name, '') if kind == 'hf' else split_checkpoint(name) or ('', '')
    if not path:
        return None, {}
    try:
        found = find_backbone(*read_checkpoint(path), part)
    except (FileNotFoundError, ValueError):
        if kind == 'hf':  # one of the hub, or of a layout that transformers alone knows
            return None, {}
        raise
    return found.config, found.state
