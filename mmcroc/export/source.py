"""What is exported: a backbone with everything that is known of it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from mmcroc.export.describe import describe
from mmcroc.export.provenance import MEAN, STD, normalisation_of, protocol_results, provenance
from mmcroc.features.checkpoint_backbone import find_backbone, frozen_model
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.weights.architectures import Architecture, ResNetArchitecture
from mmcroc.weights.checkpoint_file import read_checkpoint, split_checkpoint

NECK_LEFT_OUT = (
    "HSG's neck (its pixel embedding) is left out: it is no part of these libraries' "
    'architectures; --format onnx --with-neck takes it along'
)
#: What may follow a checkpoint's name for one and the same network.
SAME_NETWORK = dict(
    teacher=('', 'teacher', 'backbone'), student=('student',), backbone=('', 'backbone')
)


@dataclass
class Source:
    """A backbone to be exported.

    Attributes:
        backbone: Evaluating, on the CPU.
        metadata: Origin of the weights (:func:`provenance`), and ``layout``, ``network``,
            ``protocol_results``.
        mean, std: Normalisation of images, RGB in [0, 255].
        has_neck: Whether it is a whole HSG and not a backbone alone.
        notes: Sentences that the user of an export has to know.
    """

    backbone: nn.Module
    metadata: dict
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    has_neck: bool = False
    notes: list[str] = field(default_factory=list)

    @cached_property
    def architecture(self) -> Architecture:
        """The backbone's architecture.

        Raises:
            ValueError: It is none that other libraries have.
        """
        return describe(self.backbone.get_submodule('backbone' if self.has_neck else ''))

    @property
    def state(self) -> dict[str, Tensor]:
        """Weights under MMPretrain's names."""
        return dict(self.backbone.state_dict())

    @property
    def name(self) -> str:
        """The architecture in words."""
        neck = "; on top HSG's neck" if self.has_neck else ''
        return f'{self.architecture.name}{neck}'

    def described(self) -> dict:
        """Metadata with the architecture in words."""
        words = dict(architecture=self.name, mean=list(self.mean), std=list(self.std))
        return {**self.metadata, **words}

    def note_geometry(self, library: str) -> None:
        """Say it if a library's ResNets have other strides or dilations than this one."""
        architecture = self.architecture
        if isinstance(architecture, ResNetArchitecture) and not architecture.is_plain:
            self.notes.append(
                f'{library} cannot say {architecture.geometry}: it gets the same weights in a '
                'ResNet of stride 32 without dilation, whose features are other ones'
            )


def read_source(
    model: str, with_neck: bool = False, results: Sequence[str | os.PathLike] = ()
) -> Source:
    """Load a backbone and gather what is known of it.

    Args:
        model: Name as :func:`mmcroc.features.load_model` takes it, except that HSG's backbone comes
            without its neck.
        with_neck: Whether HSG comes whole, for its pixel embedding.
        results: ``results.json`` files of tools/evaluate.py with numbers of this model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No such model, no neck in it, or results of other models.
    """
    checkpoint = split_checkpoint(model)
    if checkpoint:
        source, same = _of_checkpoint(*checkpoint, with_neck)
        path = checkpoint[0]
    elif with_neck:
        raise ValueError(f'{model!r} is no checkpoint of HSG: it has no neck')
    else:
        source, same, path = Source(load_backbone(model), dict(source=model)), ('',), model
    source.backbone.eval()
    source.backbone.requires_grad_(False)
    if results:
        known = source.metadata.get('protocol_results', [])
        found = protocol_results(results, path, same)
        source.metadata['protocol_results'] = known + [one for one in found if one not in known]
    return source


def _of_checkpoint(path: str, part: str, with_neck: bool) -> tuple[Source, tuple[str, ...]]:
    """The source, and what may follow the path in names of the same network."""
    checkpoint, config = read_checkpoint(path)
    try:
        found = find_backbone(checkpoint, config, part)
        is_hsg = frozen_model(found.origin) is not None
        if with_neck and (part or not is_hsg):
            raise ValueError('no checkpoint of HSG, or a part of one: it has no neck')
        if is_hsg and not with_neck:
            found = find_backbone(checkpoint, config, 'backbone')
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    metadata = dict(layout=found.layout, network=found.role)
    metadata.update(provenance(path, checkpoint, found.origin))
    source = Source(
        found.build(path), metadata, *normalisation_of(found.origin), has_neck=with_neck
    )
    if not is_hsg:
        return source, SAME_NETWORK[found.role]
    if not with_neck:
        source.notes.append(NECK_LEFT_OUT)
    return source, ('' if with_neck else 'backbone',)
