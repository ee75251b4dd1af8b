"""Released checkpoints as those of mmcroc and MMPretrain, with a config inside."""

import os

import mmcroc
from mmcroc.export.mm_checkpoint import save_checkpoint
from mmcroc.features.checkpoint_backbone import find_backbone, frozen_model, load_all
from mmcroc.features.dense_model import PREPROCESSOR
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_content import model_kind
from mmcroc.weights.checkpoint_file import read_checkpoint
from mmcroc.weights.weight_layouts import model_layout


def convert_checkpoint(
    source: str | os.PathLike,
    out: str | os.PathLike,
    network: str = '',
    num_heads: int | None = None,
) -> str:
    """Write a checkpoint that every tool of mmcroc takes, and MMEngine's ``load_from``.

    - CrOC's full checkpoint becomes one of ``mmcroc.CrOC``: student, teacher, heads and centres.
    - HSG's becomes one of ``mmcroc.HSG``.
    - Anything else that :func:`mmcroc.features.load_model` reads from a file, and ViTs and DINOv2
      in folders of Hugging Face's, become a backbone under ``backbone.``; what is beside it, heads
      or the other network, is left behind.

    Before it is written the model of its config is built and has taken every weight.

    Args:
        source: A local file, or a folder as Hugging Face's transformers writes it (``hf:FOLDER``
            too).
        out: Where to write; appears when it is whole.
        network: ``'student'`` or ``'teacher'``: of CrOC and others, this one's backbone alone.
        num_heads: Attention heads of a ViT, where they cannot be told from its width.

    Returns:
        What was found in it, in words.

    Raises:
        FileNotFoundError, ValueError: No such file, or nothing to convert in it.
    """
    source = os.fspath(source)
    checkpoint, config = read_checkpoint(source)
    try:
        released = None if config else model_layout(checkpoint)
        if released and not network:
            layout, (model, state) = released.name, released.build(checkpoint, num_heads)
        elif frozen_model(config) and not network:
            layout, model, state = model_kind(config), config['model'], checkpoint['state_dict']
        else:
            found = find_backbone(checkpoint, config, network, num_heads)
            layout = f'{found.layout}, {found.role}'
            state = {f'backbone.{key}': value for key, value in found.state.items()}
            model = dict(type='mmpretrain.ImageClassifier', backbone=found.config)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    preprocessor = {name: PREPROCESSOR[name] for name in ('mean', 'std')}  # of the model's type
    load_all(MODELS.build(dict(model, data_preprocessor=preprocessor)), state, source)
    origin = dict(mmcroc_version=mmcroc.__version__, converted_from=os.path.basename(source))
    save_checkpoint(out, model, preprocessor, state, layout=layout, **origin)
    return layout
