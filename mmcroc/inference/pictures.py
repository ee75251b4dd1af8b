"""Pictures of what any model sees: what can be painted of it, and how."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.model import BaseModel

from mmcroc.config_files import read_config
from mmcroc.croc.target_generator import OnlineClustering
from mmcroc.croc.views import TwoViews
from mmcroc.foreign_configs import registered_types_only
from mmcroc.hsg.algorithm import HSG
from mmcroc.inference.segmentation import segment_image
from mmcroc.pictures.label_maps import overlay
from mmcroc.pictures.painters import (
    AttentionPainter,
    ClusterPainter,
    Example,
    PCAPainter,
    photo_of,
    tapped_backbone,
)
from mmcroc.registry import MODELS, TRANSFORMS
from mmcroc.weights.checkpoint_content import config_of_text, config_text
from mmcroc.weights.checkpoint_file import read_checkpoint, split_checkpoint

#: Kinds of pictures and what of a model they need.
KINDS = dict(
    pca='dense tokens',
    clusters="a Vision Transformer of mmcroc, such as CrOC's teacher",
    attention="a Vision Transformer of mmcroc, such as CrOC's teacher",
    hierarchy='an HSG checkpoint whose segments are not regions (tools/segment.py takes regions)',
)


class HierarchyPainter:
    """HSG's segments and levels over the image, resized to ``longer_side`` for the model."""

    def __init__(self, model: HSG, longer_side: int) -> None:
        self.model, self.longer_side = model, longer_side

    def paint(self, example: Example) -> dict:
        """Pictures by title: one of each of the model's levels."""
        maps = segment_image(self.model, example.image, longer_side=self.longer_side)
        photo = photo_of(example.image)
        return {title: overlay(photo, labels) for title, labels in maps.items()}


def available_kinds(model: BaseModel) -> list[str]:
    """Which of ``KINDS`` a model of :func:`mmcroc.inference.init_model` can give."""
    if isinstance(model, HSG):
        has = dict(pca=True, hierarchy=model.head.grid != (1, 1))
    else:
        tapped = tapped_backbone(model) is not None
        has = dict(pca=True, clusters=tapped, attention=tapped)
    return [kind for kind in KINDS if has.get(kind)]


def build_painters(
    model: BaseModel,
    kinds: Sequence[str] | None = None,
    longer_side: int = 512,
    clustering: OnlineClustering | None = None,
    heads: Sequence[int] = (0,),
    seed: int = 0,
) -> dict:
    """Painters of a model, see :mod:`mmcroc.pictures.painters`.

    Args:
        model: Model of :func:`mmcroc.inference.init_model`.
        kinds: Some of ``KINDS``; by default all that the model can give.
        longer_side: Images are resized to this for the model, pixels.
        clustering: For clusters, by default :class:`OnlineClustering` as released.
        heads: Attention heads whose clusters are shown.
        seed: Seed of the random choice of the clusters' seed tokens.

    Raises:
        ValueError: A kind that this model cannot give; a head that there is not.
    """
    can = available_kinds(model)
    missing = [kind for kind in kinds or () if kind not in can]
    if missing:
        needs = '; '.join(f'{kind} needs {KINDS[kind]}' for kind in missing)
        raise ValueError(f'{needs}. This model can give: {", ".join(can)}')
    makers = dict(
        pca=lambda: PCAPainter(model, model.stride, longer_side),
        clusters=lambda: ClusterPainter(model, clustering or OnlineClustering(), heads, seed),
        attention=lambda: AttentionPainter(model, longer_side),
        hierarchy=lambda: HierarchyPainter(model, longer_side),
    )
    return {kind: makers[kind]() for kind in KINDS if kind in (kinds or can)}


def training_views(
    config: str | os.PathLike | None,
    checkpoint: str,
    view_options: dict | None = None,
    clustering_options: dict | None = None,
) -> tuple[TwoViews, OnlineClustering]:
    """The views and the online clustering that a model was trained with.

    What neither the config nor the options say is as :class:`TwoViews` and
    :class:`OnlineClustering` have it: the released settings, no colour transforms.

    Args:
        config: A config file. None: the config in the checkpoint, if it holds any.
        checkpoint: Name of a model that :func:`mmcroc.inference.init_model` takes.
        view_options: Other settings of the views.
        clustering_options: Other settings of the clustering.
    """
    cfg = read_config(config).to_dict() if config else _config_in(os.fspath(checkpoint))
    found = _of_type('TwoViews', cfg.get('train_dataloader', {}))
    views = dict(next(found, {}), type='mmcroc.TwoViews', **(view_options or {}))
    clustering = dict(
        (cfg.get('model') or {}).get('target_generator') or {}, **(clustering_options or {})
    )
    clustering['type'] = 'mmcroc.OnlineClustering'
    try:
        with registered_types_only():
            return TRANSFORMS.build(views), MODELS.build(clustering)
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def _config_in(checkpoint: str) -> dict:
    """Model and training data of the config in a checkpoint; empty where there is none."""
    path, _ = split_checkpoint(checkpoint) or ('', '')
    if not path:
        return {}
    content, _ = read_checkpoint(path)
    return config_of_text(config_text(content), ('model', 'train_dataloader'))


def _of_type(name: str, cfg: Any) -> Iterator[dict]:
    """Every dict of a type, its scope left aside, anywhere in a config."""
    if isinstance(cfg, dict):
        if str(cfg.get('type')).split('.')[-1] == name:
            yield cfg
        cfg = list(cfg.values())
    if isinstance(cfg, list | tuple):
        for value in cfg:
            yield from _of_type(name, value)
