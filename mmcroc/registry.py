"""mmcroc's nodes in the registry tree of MMEngine, scope ``mmcroc``.

MMEngine imports this module by itself when it meets the prefix, so any MMPretrain or
MMSegmentation config can say ``type='mmcroc.CrOC'`` without ``custom_imports``.
"""

from importlib import import_module

from mmcroc.distributions import check_distributions

check_distributions()  # before the first of the mm packages is imported

from mmengine import registry as mmengine_registry  # noqa: E402
from mmengine.registry import Registry  # noqa: E402


class PatientRegistry(Registry):
    """Registry whose modules are imported in their order, until one has the class asked for.

    MMEngine's imports all of them for the first class: CrOC's pretraining would wait for
    MMSegmentation's models. Modules that import much are therefore the last of their list.
    """

    def get(self, key: str) -> type | None:
        """Find a class by its name; None if there is none."""
        scope, name = self.split_scope_key(key)
        for location in self._locations if scope in (None, self.scope) else ():
            if name in self._module_dict:
                break
            import_module(location)
        return super().get(key)

    def import_from_location(self) -> None:
        """Import nothing: what is wanted was imported."""


def _child(name: str, parent: str, **wings: str) -> Registry:
    """Child of one of MMEngine's registries; its classes are in these modules of these wings."""
    return PatientRegistry(
        name,
        parent=getattr(mmengine_registry, parent),
        scope='mmcroc',
        locations=[f'mmcroc.{wing}.{module}' for wing in wings for module in wings[wing].split()],
    )


MODELS = _child(
    'model',
    'MODELS',
    croc='algorithm head neck target_generator',
    hsg='algorithm frozen_backbone grouping head neck views',
    data='two_views',
    features='vision_transformer pretrained_backbone library_backbones feature_segmentor',
    evaluation='nf_covering segment_retrieval_iou linear_segmentor',
)
DATASETS = _child(
    'dataset',
    'DATASETS',
    data='labelled_sets oversegmented own_images synthetic_scenes tar_shards true_regions '
    'unlabelled',
)
TRANSFORMS = _child(
    'transform',
    'TRANSFORMS',
    croc='views',
    data='colour labelled_transforms sample_seed true_regions two_views watershed',
    hsg='views',
)
DATA_SAMPLERS = _child('data sampler', 'DATA_SAMPLERS', data='sample_seed')
HOOKS = _child(
    'hook',
    'HOOKS',
    training='checkpoints data_checks exact_resume first_screen logs optimisation pictures probes '
    'termination view_measures',
    evaluation='fitted_iou progress',
)
OPTIM_WRAPPERS = _child('optimizer wrapper', 'OPTIM_WRAPPERS', croc='optim_wrapper')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', 'OPTIM_WRAPPER_CONSTRUCTORS', training='optimisation'
)
PARAM_SCHEDULERS = _child('parameter scheduler', 'PARAM_SCHEDULERS', croc='schedules')
METRICS = _child(
    'metric',
    'METRICS',
    evaluation='clustering_iou hummingbird knn_image linear_iou nf_covering patch_probes '
    'segment_retrieval_iou linear_segmentor',
)
VISUALIZERS = _child('visualizer', 'VISUALIZERS', training='visualizer')
