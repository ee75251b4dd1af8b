"""mmcroc's nodes in the registry tree of MMEngine, scope ``mmcroc``.

MMEngine imports this module by itself when it meets the prefix, so any MMPretrain or
MMSegmentation config can say ``type='mmcroc.CrOC'`` without ``custom_imports``.
"""

from mmcroc.distributions import check_distributions

check_distributions()  # before the first of the mm packages is imported

from mmengine import registry as mmengine_registry  # noqa: E402
from mmengine.registry import Registry  # noqa: E402


def _child(name: str, parent: str, *locations: str) -> Registry:
    """Child of one of MMEngine's registries; its classes are in these modules of mmcroc."""
    return Registry(
        name,
        parent=getattr(mmengine_registry, parent),
        scope='mmcroc',
        locations=[f'mmcroc.{location}' for location in locations],
    )


MODELS = _child(
    'model',
    'MODELS',
    'croc.algorithm',
    'croc.head',
    'croc.neck',
    'croc.target_generator',
    'data.two_views',
    'evaluation.linear_segmentor',
    'evaluation.nf_covering',
    'evaluation.segment_retrieval_iou',
    'features.dense_model',
    'features.library_backbones',
    'features.pretrained_backbone',
    'features.vision_transformer',
    'hsg.algorithm',
    'hsg.grouping',
    'hsg.head',
    'hsg.neck',
    'hsg.views',
)
DATASETS = _child(
    'dataset',
    'DATASETS',
    'data.labelled_sets',
    'data.oversegmented',
    'data.own_images',
    'data.synthetic_scenes',
    'data.true_regions',
    'data.unlabelled',
)
TRANSFORMS = _child(
    'transform',
    'TRANSFORMS',
    'croc.views',
    'data.colour',
    'data.labelled_transforms',
    'data.oversegmentation',
    'data.sample_seed',
    'data.true_regions',
    'data.two_views',
    'hsg.views',
)
DATA_SAMPLERS = _child('data sampler', 'DATA_SAMPLERS', 'data.sample_seed')
HOOKS = _child(
    'hook',
    'HOOKS',
    'training.checkpoints',
    'training.data_checks',
    'training.exact_resume',
    'training.logs',
    'training.optimisation',
    'training.pictures',
    'training.probes',
    'evaluation.fitted_iou',
)
OPTIM_WRAPPERS = _child('optimizer wrapper', 'OPTIM_WRAPPERS', 'croc.optim_wrapper')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', 'OPTIM_WRAPPER_CONSTRUCTORS', 'training.optimisation'
)
PARAM_SCHEDULERS = _child('parameter scheduler', 'PARAM_SCHEDULERS', 'croc.schedules')
METRICS = _child(
    'metric',
    'METRICS',
    'evaluation.clustering_iou',
    'evaluation.hummingbird',
    'evaluation.linear_iou',
    'evaluation.linear_segmentor',
    'evaluation.nf_covering',
    'evaluation.patch_probes',
    'evaluation.segment_retrieval_iou',
)
