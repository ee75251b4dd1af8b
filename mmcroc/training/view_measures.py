"""Measures that need no labels: what a teacher sees in two views of a few training images."""

from typing import Any

import torch
from mmengine.dataset import default_collate
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import Tensor

from mmcroc.croc.algorithm import CrOC
from mmcroc.croc.assignments import cluster_representations
from mmcroc.croc.losses import mean_entropy, teacher_probabilities
from mmcroc.data.sample_seed import seeded_generators
from mmcroc.numerics.distributed import all_reduce_sum, get_world_size
from mmcroc.numerics.token_spread import effective_rank, mean_cosine
from mmcroc.registry import HOOKS
from mmcroc.training.pictures import evenly_spread


@HOOKS.register_module()
class ViewMeasuresHook(Hook):
    """Add :func:`view_measures` of fixed training images to the metrics of every validation.

    For CrOC and DINO. The images are spread evenly over the training set, and their views are
    sampled once, as training samples them. Names begin with ``views/``. A run without validation
    gets one of nothing else, every ``train_cfg.val_interval``. Training is the same with it.

    Args:
        num_images: Number of images; all of a smaller training set.
    """

    # Before the hooks that log metrics or keep the best checkpoint.
    priority = 'HIGHEST'

    def __init__(self, num_images: int = 32) -> None:
        self.num_images = num_images
        self.batch: dict | None = None

    def before_run(self, runner: Runner) -> None:
        """Give a run without validation one without images."""
        if runner.val_loop is None:
            runner._val_loop = NoImagesLoop(runner)

    def before_train(self, runner: Runner) -> None:
        """Sample the views.

        Raises:
            TypeError: The model is neither CrOC nor DINO.
        """
        model = _unwrapped(runner)
        if not isinstance(model, CrOC):
            raise TypeError(
                f'ViewMeasuresHook serves mmcroc.CrOC, not a {type(model).__name__}; set '
                'default_hooks.view_measures=None'
            )
        dataset, samples = runner.train_dataloader.dataset, []
        for index in evenly_spread(len(dataset), self.num_images):
            with seeded_generators(0, index):
                samples.append(dataset[index])
        self.batch = default_collate(samples)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add the measures to the metrics, alike on all ranks."""
        if self.batch is None or metrics is None:  # not while training
            return
        model = _unwrapped(runner)
        data = model.data_preprocessor(self.batch)
        seen = data.get('teacher_inputs', data['inputs'])
        found = view_measures(model, seen, data['view_boxes'])
        total = all_reduce_sum(torch.stack([value.double() for value in found.values()]))
        values = (total / get_world_size()).tolist()
        metrics |= {f'views/{name}': value for name, value in zip(found, values, strict=True)}


class NoImagesLoop(BaseLoop):
    """A validation without images and metrics, for those that hooks bring."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner, [])
        self.evaluator = Evaluator([])

    def run(self) -> dict[str, float]:
        """Call the hooks of a validation; gives the metrics that they bring."""
        metrics: dict[str, float] = {}
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        return metrics


@torch.no_grad()
def view_measures(model: CrOC, inputs: Tensor, view_boxes: Tensor) -> dict[str, Tensor]:
    """What the teacher makes of two views of each image, without labels.

    Args:
        model: CrOC or DINO, evaluating.
        inputs: Views (2B, 3, S, S), normalised, view 1's images first.
        view_boxes: Crop boxes and flips (2, B, 5).

    Returns:
        ``effective_rank`` and ``mean_cosine`` of all tokens (:mod:`mmcroc.numerics.token_spread`);
        ``entropy_image`` and ``entropy_cluster``, mean entropies over prototypes, nats; and
        ``cluster_agreement``, of :func:`cluster_agreement`. DINO has no clusters.
    """
    with torch.random.fork_rng([inputs.device] if inputs.is_cuda else []):
        torch.manual_seed(0)  # of the clusters' seeds
        _, found, clusters, (images, parts) = model.look(inputs, view_boxes)
    tokens = found.tokens.flatten(0, 1)

    def entropy(logits: Tensor, center: Tensor, valid: Tensor | None) -> Tensor:
        target = teacher_probabilities(logits, center, model.head.teacher_temperature)
        return mean_entropy(target.unflatten(0, (2, -1)), valid)

    measures = dict(
        effective_rank=effective_rank(tokens),
        mean_cosine=mean_cosine(tokens),
        entropy_image=entropy(images, model.head.center, None),
    )
    if clusters is not None and parts is not None:
        valid = clusters.valid
        measures['entropy_cluster'] = entropy(parts, model.head.cluster_center, valid.flatten())
        vectors = cluster_representations(
            clusters.plans, found.tokens.unflatten(0, (2, -1)), tokens.new_ones(())
        )
        measures['cluster_agreement'] = cluster_agreement(vectors, valid)
    return measures


def cluster_agreement(vectors: Tensor, valid: Tensor) -> Tensor:
    """Share of clusters that are nearest to themselves in the other view, percent.

    Among the clusters that an image's same head has in both views, by cosine; the mean of both
    directions. 100: what is one cluster in both views looks alike in them, and unlike the others.

    Args:
        vectors: Representations of clusters (2, B, h, K, C), unit norm.
        valid: Clusters that are there in both views (B, h, K).

    Returns:
        Scalar; NaN without a cluster.
    """
    cosines, own = vectors[0] @ vectors[1].mT, torch.arange(valid.shape[-1], device=valid.device)
    hits = [
        (each.masked_fill(~valid[..., None, :], -torch.inf).argmax(-1) == own) & valid
        for each in (cosines, cosines.mT)
    ]
    return 100 * torch.stack(hits).sum() / (2 * valid.sum())


def _unwrapped(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
