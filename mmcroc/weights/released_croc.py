"""The checkpoints that CrOC's authors released: a student and a teacher, each a ViT and a head."""

from collections.abc import Mapping

from torch import Tensor

from mmcroc.weights.architectures import vit_config
from mmcroc.weights.checkpoint_content import below
from mmcroc.weights.key_map import KeyMap
from mmcroc.weights.vit_names import WITH_MLP

CROC = 'released CrOC checkpoint'
#: What DINO's heads do not have.
CLUSTER_PROTOTYPES = 'head.last_layer_c.weight_v'
NETWORK = KeyMap(
    CROC,
    'mmcroc.CrOC',
    [
        *((f'backbone.{old}', f'backbone.{new}') for old, new in WITH_MLP.table),
        ('head.mlp.{i}.{wb}', 'neck.mlp.{i}.{wb}'),
        ('head.last_layer.weight_v', 'neck.prototypes.weight'),
        (CLUSTER_PROTOTYPES, 'neck.cluster_prototypes.weight'),
    ],
)
#: The fixed gain of the last layers, which our unit-norm prototypes do without.
GAINS = ('head.last_layer.weight_g', 'head.last_layer_c.weight_g')
#: (centre in ``croc_loss``, in ``mmcroc.CrOC``, the prototypes it centres)
CENTRES = [
    ('center', 'head.center', 'neck.prototypes.weight'),
    ('center_c', 'head.cluster_center', 'neck.cluster_prototypes.weight'),
]


def convert_released_network(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename one released network (student or teacher) to ``backbone.*`` and ``neck.*``.

    Raises:
        UnknownKeysError: Keys, without ``module.``, are not those of a released CrOC network.
        ValueError: A last layer's gain is not 1.
    """
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    for key in GAINS:
        if key in state and not (state.pop(key) == 1).all():
            raise ValueError(f'{key} is not 1 throughout: not a released CrOC checkpoint')
    return NETWORK.rename(state)


def is_released_croc(checkpoint: Mapping) -> bool:
    """Whether a checkpoint is CrOC's full one: two networks with the heads of both levels."""
    networks = [checkpoint.get(name) for name in ('student', 'teacher')]
    return all(
        isinstance(state, Mapping) and any(str(key).endswith(CLUSTER_PROTOTYPES) for key in state)
        for state in networks
    )


def convert_released_croc(checkpoint: Mapping) -> dict[str, Tensor]:
    """Both networks and the centres as the state dict of an ``mmcroc.CrOC``.

    Without ``croc_loss`` the centres start at zero. Errors as :func:`convert_released_network`.
    """
    state = convert_released_network(checkpoint['student'])
    for name, value in convert_released_network(checkpoint['teacher']).items():
        state[f'teacher.{name}'] = value
    losses = checkpoint.get('croc_loss') or {}
    for released, ours, prototypes in CENTRES:
        start = state[prototypes].new_zeros(1, len(state[prototypes]))
        state[ours] = losses.get(released, start)
    return state


def released_croc_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """``model`` of a config that fits the weights that :func:`convert_released_croc` gives.

    What leaves no trace in them has the settings of ``croc_vit-s_coco.py``. A KeyError tells of
    missing parts, a ValueError of an unknown number of heads.
    """
    layers = sum(key.startswith('neck.mlp.') and key.endswith('.weight') for key in state)
    widths = [len(state[f'neck.mlp.{2 * layer}.weight']) for layer in range(layers)]
    prototypes = dict(
        num_prototypes=len(state['neck.prototypes.weight']),
        num_cluster_prototypes=len(state['neck.cluster_prototypes.weight']),
    )
    neck = dict(
        in_channels=state['neck.mlp.0.weight'].shape[1],
        hidden_channels=widths[0],
        bottleneck_channels=widths[-1],
        num_layers=layers,
    )
    clustering = dict(num_start_clusters=12, max_clusters=12)
    return dict(
        type='mmcroc.CrOC',
        backbone=dict(vit_config(below('backbone.', state), heads), drop_path_rate=0.1),
        neck=dict(type='mmcroc.CrOCNeck', **neck, **prototypes),
        head=dict(type='mmcroc.CrOCHead', **prototypes),
        target_generator=dict(type='mmcroc.OnlineClustering', **clustering),
    )
