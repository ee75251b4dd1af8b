"""mmcroc's nodes in the registry tree of MMEngine, scope ``mmcroc``.

MMEngine imports this module by itself when it meets the prefix, so any MMPretrain or
MMSegmentation config can say ``type='mmcroc.CrOC'`` without ``custom_imports``.
"""

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry


def _child(name, parent, *locations):
    return Registry(
        name,
        parent=getattr(mmengine_registry, parent),
        scope='mmcroc',
        locations=[f'mmcroc.{location}' for location in locations],
    )


MODELS = _child('model', 'MODELS', 'models')
DATASETS = _child('dataset', 'DATASETS', 'datasets')
TRANSFORMS = _child('transform', 'TRANSFORMS', 'datasets.transforms')
DATA_SAMPLERS = _child('data sampler', 'DATA_SAMPLERS', 'datasets')
HOOKS = _child('hook', 'HOOKS', 'engine')
OPTIM_WRAPPERS = _child('optimizer wrapper', 'OPTIM_WRAPPERS', 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', 'OPTIM_WRAPPER_CONSTRUCTORS', 'engine'
)
PARAM_SCHEDULERS = _child('parameter scheduler', 'PARAM_SCHEDULERS', 'engine')
METRICS = _child('metric', 'METRICS', 'evaluation')
