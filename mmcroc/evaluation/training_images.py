"""Training images for metrics that fit something before they can evaluate."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmcroc.evaluation.progress import Progress
from mmcroc.numerics.distributed import get_rank, get_world_size


def with_pipeline(dataset: dict, pipeline: list[dict]) -> dict:
    """A data set's config with another pipeline: a wrapper's innermost data sets get it.

    Args:
        dataset: Config of any data set; ``datasets`` or ``dataset`` are those that it wraps.
        pipeline: Transforms.
    """
    if 'datasets' in dataset:
        inner = [with_pipeline(wrapped, pipeline) for wrapped in dataset['datasets']]
        return dict(dataset, datasets=inner)
    if 'dataset' in dataset:
        return dict(dataset, dataset=with_pipeline(dataset['dataset'], pipeline))
    return dict(dataset, pipeline=pipeline)


class TrainingImages:
    """Goes through labelled training images with a model, each image once over all ranks.

    Args:
        dataloader: Dataloader of training images, or its config, in a fixed order and without
            augmentation. By default ranks share them without repetition.
        pipeline: Transforms in place of the data set's; in a data set that wraps others
            (``ConcatDataset``, ``RepeatDataset``, ...) in place of theirs.
    """

    def __init__(self, dataloader: dict | Iterable, pipeline: list[dict] | None = None) -> None:
        if pipeline is not None:
            assert isinstance(dataloader, dict)
            dataloader = dict(dataloader, dataset=with_pipeline(dataloader['dataset'], pipeline))
        self.dataloader = dataloader
        self._loader: Any = None

    def __eq__(self, other: object) -> bool:
        """Whether both give the same samples: configs of one content, or one dataloader."""
        return isinstance(other, TrainingImages) and self.dataloader == other.dataloader

    __hash__ = None  # type: ignore[assignment]

    @property
    def config(self) -> dict | None:
        """Config of the data set, where one was given."""
        return self.dataloader.get('dataset') if isinstance(self.dataloader, dict) else None

    @property
    def loader(self) -> Any:
        """The dataloader, built when it is first asked for."""
        if self._loader is None:
            self._loader = self.dataloader
            if isinstance(self.dataloader, dict):
                cfg = dict(self.dataloader)
                cfg.setdefault(
                    'sampler', dict(type='DefaultSampler', shuffle=False, round_up=False)
                )
                if not cfg.get('num_workers'):
                    cfg['persistent_workers'] = False
                self._loader = Runner.build_dataloader(cfg, seed=0)
        return self._loader

    @property
    def size(self) -> int:
        """Number of images in the data set."""
        return len(self.loader.dataset)

    def names(self) -> list[str]:
        """Names of the images in the data set, without folder and suffix."""
        dataset = self.loader.dataset
        return [Path(dataset.get_data_info(i)['img_path']).stem for i in range(len(dataset))]

    @torch.no_grad()
    def through(self, model: nn.Module, purpose: str) -> Iterator[tuple[int, str, dict]]:
        """Data samples that ``model.val_step`` makes of the images of this rank.

        Args:
            model: The model that is evaluated.
            purpose: First words of the lines of progress.

        Yields:
            The image's number in the data set, its name, its data sample.
        """
        model.eval()
        progress, number = Progress(purpose, len(self.loader)), 0
        for batch in self.loader:
            for sample in cast(BaseModel, model).val_step(batch):
                sample = sample.to_dict()
                place = get_rank() + get_world_size() * number
                yield place, sample.get('img_path', f'training image {place}'), sample
                number += 1
            progress.step()
