"""What is exported: a backbone with everything that is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from mmcroc.models.backbones import PixelEmbedding, load_backbone
from mmcroc.models.backbones.checkpoint_backbone import load_all, read_checkpoint
from mmcroc.models.backbones.pretrained_backbone import BARE, is_checkpoint
from mmcroc.models.selfsup.released_croc import convert_released_network

from .architecture import Architecture, ResNetArchitecture
from .describe import describe
from .provenance import MEAN, STD, normalisation_of, protocol_results, provenance

NETWORKS = ('teacher', 'student')


@dataclass
class Source:
    """A backbone to be exported.

    Attributes:
        backbone: Evaluating, on the CPU.
        metadata: Of :func:`provenance`, and ``network``, ``protocol_results``.
        mean, std: What images are normalised by, RGB in [0, 255].
        notes: What the user of an export has to know.
    """

    backbone: nn.Module
    metadata: dict
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    notes: list[str] = field(default_factory=list)

    @cached_property
    def architecture(self) -> Architecture:
        """The backbone's.

        Raises:
            ValueError: It is none that other libraries have.
        """
        return describe(self.backbone.backbone if self.has_neck else self.backbone)

    @property
    def has_neck(self) -> bool:
        """Whether it is HSG's pixel embedding and not a backbone alone."""
        return isinstance(self.backbone, PixelEmbedding)

    @property
    def state(self) -> dict[str, Tensor]:
        """Weights under MMPretrain's names."""
        return dict(self.backbone.state_dict())

    def described(self) -> dict:
        """Metadata with the architecture in words."""
        architecture = self.architecture
        words = dict(architecture=architecture.name, mean=list(self.mean), std=list(self.std))
        return {**self.metadata, **words}

    def note_geometry(self, library: str):
        """Say it if a library's ResNets have other strides or dilations than this one."""
        architecture = self.architecture
        if isinstance(architecture, ResNetArchitecture) and not architecture.is_plain:
            self.notes.append(
                f'{library} cannot say {architecture.geometry}: it gets the same weights in a '
                'ResNet of stride 32 without dilation, whose features are other ones'
            )


def read_source(
    model: str, network: str = 'teacher', with_neck: bool = False, results: Sequence[str] = ()
) -> Source:
    """Load a backbone and gather what is known of it.

    Args:
        model: As :func:`mmcroc.apis.load_backbone`.
        network: Of CrOC's two, ``'teacher'`` or ``'student'``.
        with_neck: Of HSG, the whole pixel embedding.
        results: ``results.json`` files of tools/evaluate.py with numbers of this model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No such model, no student or neck in it, or results of other models.
    """
    if network not in NETWORKS:
        raise ValueError(f'network must be one of {", ".join(NETWORKS)}, got {network!r}')
    if is_checkpoint(model):
        source = _of_checkpoint(model.removesuffix(BARE), network, with_neck)
    elif network == 'student' or with_neck:
        raise ValueError(f'{model!r} is no checkpoint: it has neither a student nor a neck')
    else:
        source = Source(load_backbone(model), dict(source=model))
    source.backbone.eval()
    source.backbone.requires_grad_(False)
    if results and network == 'student':
        raise ValueError('results of tools/evaluate.py are of the teacher, not of the student')
    if results:
        names = [model]
        if with_neck is False and source.metadata.get('method') == 'HSG':
            # HSG's plain name is evaluated with its neck.
            names = [model.removesuffix(BARE) + BARE]
        source.metadata['protocol_results'] = protocol_results(results, *names)
    return source


def _of_checkpoint(path: str, network: str, with_neck: bool) -> Source:
    checkpoint, config = read_checkpoint(path)
    backbone = load_backbone(path if with_neck else path + BARE)
    if with_neck and not isinstance(backbone, PixelEmbedding):
        raise ValueError(f'{path} is no checkpoint of HSG: its backbone has no neck')
    student = _student_state(checkpoint)
    if network == 'student':
        if student is None:
            raise ValueError(f'{path} holds one network, not a teacher and a student')
        load_all(backbone, student, path)
    metadata = provenance(path, checkpoint, config)
    if student is not None:
        metadata['network'] = network
    source = Source(backbone, metadata, *normalisation_of(config))
    if metadata.get('method') == 'HSG' and not with_neck:
        source.notes.append(
            "HSG's neck (its pixel embedding) is left out: it is no part of these libraries' "
            'architectures; --format onnx --with-neck takes it along'
        )
    return source


def _student_state(checkpoint: dict) -> dict[str, Tensor] | None:
    """Weights of the student of a teacher and a student; None if there are no two."""
    if 'teacher' in checkpoint and 'student' in checkpoint:
        state = convert_released_network(checkpoint['student'])
    else:
        state = checkpoint.get('state_dict', {})
        if not any(key.startswith('teacher.backbone.') for key in state):
            return None
    prefix = 'backbone.'
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
