"""CrOC: cross-view online clustering."""

from typing import Any, cast

import torch
from mmpretrain.models import BaseSelfSupervisor
from torch import Tensor, nn

from mmcroc.croc.assignments import ClusterAssignments, cluster_representations
from mmcroc.croc.clustering import patch_positions
from mmcroc.croc.optimizer_steps import (
    TrainingProgress,
    act_around_next_step,
    training_progress,
)
from mmcroc.croc.parts_fit import require_shared, require_tokens
from mmcroc.croc.teacher import MomentumTeacher, Pairs
from mmcroc.features.dense_tokens import dense_tokens, hand_out_tokens
from mmcroc.features.vision_transformer import TappedTokens, VisionTransformer
from mmcroc.numerics.distributed import differentiable_all_reduce_mean
from mmcroc.numerics.token_spread import effective_rank, mean_cosine
from mmcroc.registry import MODELS
from mmcroc.weights.weight_fit import require_fit


@MODELS.register_module()
class CrOC(BaseSelfSupervisor):
    """Self-distillation of images and of clusters found jointly in two views.

    Stegmüller, Lebailly et al., CVPR 2023. ``backbone`` and ``neck`` are the student;
    ``teacher.backbone`` and ``teacher.neck`` follow it and are what gets evaluated and exported.
    Without a target generator the cluster level is left out, which is DINO on two global views.

    The model does by itself what makes an optimiser's step a step of CrOC, under any optimiser
    wrapper, any hooks, distributed or not. After each step the teacher's parameters become
    ``θₜ ← m θₜ + (1 - m) θₛ``; m rises by a cosine over the iterations of training, and a step
    that accumulates several iterations takes that of the first. The teacher's temperature follows
    the epoch. During the first epochs the last layers' gradients are None in the step: a zero
    would still start Adam's moments and apply weight decay. How far training has come is read from
    what MMEngine's ``RuntimeInfoHook`` tells; a step without that is refused.

    Post-training starts from a backbone that is good already. Fresh heads at the start would spoil
    it: for a share of training the backbone waits, as the last layers do. With ``trained_blocks``
    only the last blocks and the final norm learn. What is before them is alike in student and
    teacher, and runs once for both, without a gradient and without stochastic depth; twice where
    the teacher is given views of its own (:class:`mmcroc.data.CleanTeacherDataPreprocessor`).

    Weights that it starts from fit both backbones whole, or are refused
    (:func:`mmcroc.weights.weight_fit.require_fit`); heads may be absent. A teacher that is
    not among them starts as the student's copy.

    Args:
        backbone: Config of :class:`mmcroc.features.VisionTransformer`.
        neck: Config of :class:`mmcroc.croc.CrOCNeck`.
        head: Config of :class:`mmcroc.croc.CrOCHead`.
        target_generator: Config of :class:`mmcroc.croc.OnlineClustering`, or None.
        teacher_momentum: m of the first step.
        end_teacher_momentum: m that the last step comes near.
        teacher_neck_momentum: m of the teacher's neck in the first step; as ``teacher_momentum`` by
            default. Fresh heads may follow faster than a good backbone.
        freeze_last_layer_epochs: Number of epochs at the start in which both last layers wait.
        freeze_backbone_share: Share of training's iterations, at the start, in which the backbone
            waits.
        trained_blocks: Number of the backbone's last blocks that learn; None for the whole
            backbone.
        sync_statistics: Whether the mean [CLS] norm and the mean over clusters are taken over all
            ranks. By default, as released, each rank has its own. With ``cost_scaling='problem'``
            of the target generator a step then does not depend on how its batch is split.
        data_preprocessor: Data preprocessor, or config of one, of type
            :class:`mmcroc.data.TwoViewDataPreprocessor` by default.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        target_generator: dict | None = None,
        teacher_momentum: float = 0.996,
        end_teacher_momentum: float = 1.0,
        teacher_neck_momentum: float | None = None,
        freeze_last_layer_epochs: int = 1,
        freeze_backbone_share: float = 0.0,
        trained_blocks: int | None = None,
        sync_statistics: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ):
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = dict(data_preprocessor or {})
            data_preprocessor.setdefault('type', 'mmcroc.TwoViewDataPreprocessor')
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            target_generator=target_generator,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if self.with_target_generator and self.neck.cluster_prototypes is None:
            raise ValueError(
                'CrOC: there is a target_generator, but neck.num_cluster_prototypes is 0; '
                'set both or none'
            )
        if teacher_neck_momentum is None:
            teacher_neck_momentum = teacher_momentum
        for name, value in (
            ('teacher_momentum', teacher_momentum),
            ('end_teacher_momentum', end_teacher_momentum),
            ('teacher_neck_momentum', teacher_neck_momentum),
            ('freeze_backbone_share', freeze_backbone_share),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f'CrOC: {name} must be in [0, 1], got {value}')
        require_tokens(self.backbone, self.neck)
        self.freeze_last_layer_epochs = freeze_last_layer_epochs
        self.freeze_backbone_share = freeze_backbone_share
        self.sync_statistics = sync_statistics
        momentum = dict(backbone=teacher_momentum, neck=teacher_neck_momentum)
        self.teacher = MomentumTeacher(self, momentum, end_teacher_momentum)
        #: Number of first blocks that student and teacher share.
        self.frozen_blocks = 0
        if trained_blocks is not None:
            self.frozen_blocks = self.backbone.train_last_blocks(trained_blocks)
        self._register_load_state_dict_pre_hook(self._complete_teacher)
        require_fit(self, 'backbone', 'teacher.backbone')
        self._forget_training()

    def _forget_training(self) -> None:
        """Begin a training: nothing of an earlier one counts."""
        #: Iteration in which the next step's gradients began, and that of the last step.
        self._step_start: int | None = None
        self._last_step: int | None = None
        #: All parameters of the next step, by part: it asks several times, and finding them takes
        #: longer than moving the teacher.
        self._step_pairs: dict[str, Pairs] | None = None
        #: m of the next step, of backbone and neck.
        self._momentum: dict[str, float] | None = None
        #: Versions of the student's parameters, until the first step was seen.
        self._versions: list[int] | None = None
        self._teacher_tokens: Tensor | None = None

    def init_weights(self) -> None:
        """Initialise or load the student's weights; start the teacher unless it was loaded."""
        self._forget_training()
        self._has_loaded = False
        super().init_weights()
        if not self._has_loaded:  # else by init_cfg, the teacher too
            self.copy_student_to_teacher()

    def _complete_teacher(self, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
        self._has_loaded = True
        self.teacher.complete(self, state, prefix)

    @torch.no_grad()
    def copy_student_to_teacher(self) -> None:
        """Start the teacher as a copy of the student."""
        for student, teacher in self.student_teacher_pairs():
            teacher.copy_(student)

    def student_teacher_pairs(self, part: str | None = None) -> Pairs:
        """Parameters of the student, each with the teacher's, of all parts or of one."""
        pairs = self._step_pairs or self.teacher.pairs(self)
        return [pair for name in pairs if part in (None, name) for pair in pairs[name]]

    @torch.compiler.disable(recursive=False)
    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
        view_boxes: Tensor | None = None,
        teacher_inputs: Tensor | None = None,
    ) -> Any:
        """Compute losses, features or predictions, as MMPretrain's self-supervisors do.

        Args:
            inputs: (2B, 3, S, S) views to train, (B, 3, H, W) images to extract features.
            data_samples: B data samples, for ``'predict'``.
            mode: ``'loss'``, ``'tensor'`` or ``'predict'``.
            view_boxes: (2, B, 5), crop boxes and flips, for the loss.
            teacher_inputs: (2B, 3, S, S), the same views as the teacher is to see them, if other
                than the student's.

        Returns:
            Losses; a tuple of one map of features; or the data samples with the teacher's
            ``tokens``, for metrics such as ``ClusteringIoU``.
        """
        if mode == 'loss':
            if self.training:
                self._begin_iteration()
            boxes = cast(Tensor, view_boxes)
            # Only where there are such: a subclass's loss may not know them.
            others = {} if teacher_inputs is None else dict(teacher_inputs=teacher_inputs)
            return self.loss(inputs, data_samples, boxes, **others)
        if mode == 'predict':
            return hand_out_tokens(self.extract_feat(inputs)[0], data_samples)
        return super().forward(inputs, data_samples, mode)

    @torch.compiler.disable
    def _begin_iteration(self) -> None:
        """Take temperature and m of this iteration, and ask to be called around the next step."""
        act_around_next_step(self)
        progress = training_progress()
        if progress is None:
            return
        self.head.set_epoch(progress.epoch)
        if self._step_start is None:
            self._step_start = progress.iteration
            self._step_pairs = self.teacher.pairs(self)
            self._momentum = self.teacher.momentum(progress.iteration, progress.max_iters)
        if self._last_step is None:
            if self._versions is None:
                require_shared(self.student_teacher_pairs('backbone'))
            versions = [p._version for p in self.learning_parameters()]
            if self._versions not in (None, versions):
                raise RuntimeError(
                    'CrOC: the student was changed between two iterations, but not in a step of a '
                    'torch.optim.Optimizer that holds its parameters, so the teacher cannot '
                    'follow; train with an OptimWrapper or AmpOptimWrapper, alone or under '
                    'MMDistributedDataParallel'
                )
            self._versions = versions

    def learning_parameters(self) -> list[nn.Parameter]:
        """Parameters that the optimiser must hold: the student's that take a gradient."""
        return [student for student, _ in self.student_teacher_pairs() if student.requires_grad]

    def before_optimizer_step(self) -> None:
        """Let the last layers and the backbone wait.

        Raises:
            RuntimeError: It is not known how far training has come, or that does not change.
            ValueError: Training counts too few epochs for what changes by epoch.
        """
        progress = training_progress()
        if progress is None or self._step_start is None:
            raise RuntimeError(
                "CrOC: the teacher's momentum needs to know how far training has come; train by "
                "MMEngine's Runner with default_hooks.runtime_info=dict(type='RuntimeInfoHook') "
                "or 'mmcroc.DeferredRuntimeInfoHook', and build a Runner only when those before "
                'it have trained'
            )
        if progress.iteration == self._last_step:
            raise RuntimeError(
                f'CrOC: a second optimiser step in iteration {progress.iteration}: either nothing '
                'tells the iterations (default_hooks.runtime_info), or another Runner was built '
                'before this one had trained'
            )
        epochs = max(self.freeze_last_layer_epochs, int(self.head.temperature_changes))
        if progress.max_epochs <= epochs:
            raise ValueError(
                f'CrOC: training counts {progress.max_epochs} epochs (iteration-based training '
                f'counts 1), but the last layers wait for {self.freeze_last_layer_epochs} and the '
                f'temperature {"changes" if self.head.temperature_changes else "does not change"} '
                'by epoch; train longer with train_cfg.type="EpochBasedTrainLoop", or set '
                'model.freeze_last_layer_epochs=0 and model.head.warmup_epochs=0'
            )
        waiting = []
        if progress.epoch < self.freeze_last_layer_epochs:
            waiting += [self.neck.prototypes, self.neck.cluster_prototypes]
        if progress.iteration < self.freeze_backbone_share * progress.max_iters:
            waiting.append(self.backbone)
        for module in filter(None, waiting):
            for parameter in module.parameters():
                parameter.grad = None

    def after_optimizer_step(self) -> None:
        """Let the teacher follow."""
        progress = cast(TrainingProgress, training_progress())  # or the step was refused before
        for part, momentum in cast(dict[str, float], self._momentum).items():
            self.teacher.follow(self.student_teacher_pairs(part), momentum)
        self._last_step = progress.iteration
        self._step_start = self._step_pairs = None

    @torch.no_grad()
    def extract_feat(self, inputs: Tensor) -> tuple[Tensor]:
        """Extract the teacher's dense tokens.

        Args:
            inputs: (B, 3, H, W), normalised.

        Returns:
            One (B, C, H / patch, W / patch) map of final normed patch tokens.
        """
        return (dense_tokens(self.teacher['backbone'], inputs),)

    @torch.compiler.disable(recursive=False)
    def loss(
        self,
        inputs: Tensor,
        data_samples: list | None,
        view_boxes: Tensor,
        seeds: Tensor | None = None,
        teacher_inputs: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Join, locate, split, compare.

        Args:
            inputs: (2B, 3, S, S), view 1's images first.
            data_samples: Unused.
            view_boxes: (2, B, 5), crop boxes and flips.
            seeds: (B, h, K₀), seed tokens instead of sampled ones.
            teacher_inputs: (2B, 3, S, S), as of :meth:`forward`.

        Returns:
            Losses and what to watch.
        """
        seen_by_teacher = inputs if teacher_inputs is None else teacher_inputs
        partway, found, clusters, target = self.look(seen_by_teacher, view_boxes, seeds)
        if teacher_inputs is not None:
            partway = self._shared_blocks(inputs)
        seen = self.backbone.forward_tapped(inputs, None, partway)
        student = self._project(self.neck, seen, clusters)
        valid = None if clusters is None else clusters.valid.flatten()
        losses = self.head.loss(student, target, valid, self.sync_statistics)

        self._teacher_tokens = found.tokens
        if clusters is not None:
            losses['num_clusters'] = clusters.num_clusters.float().mean()
            losses['valid_clusters'] = clusters.valid.sum() / clusters.num_clusters.sum()
        losses['teacher_temperature'] = torch.tensor(self.head.teacher_temperature)
        if self._momentum is not None:
            losses['teacher_momentum'] = torch.tensor(
                self._momentum['backbone'], dtype=torch.float64
            )
        return losses

    @torch.compiler.disable(recursive=False)
    def look(
        self, inputs: Tensor, view_boxes: Tensor, seeds: Tensor | None = None
    ) -> tuple[Any, TappedTokens, ClusterAssignments | None, tuple[Tensor, Tensor | None]]:
        """What the teacher sees in two views; arguments as of :meth:`loss`.

        Returns:
            What shared blocks give, tokens, clusters, logits of images and clusters; None for what
            there is not.
        """
        teacher = cast(VisionTransformer, self.teacher['backbone'])
        clusters = tap = None
        with torch.no_grad():
            partway = self._shared_blocks(inputs)
            if self.with_target_generator:
                tap = self.target_generator.tap
            found = teacher.forward_tapped(inputs, tap, partway)
            if self.with_target_generator:
                positions = patch_positions(view_boxes, teacher.grid_size(inputs))
                clusters = self.target_generator(found, positions, seeds)
            target = self._project(self.teacher['neck'], found, clusters)
        return partway, found, clusters, target

    @torch.no_grad()
    def _shared_blocks(self, inputs: Tensor) -> Any:
        """What the blocks that student and teacher share give; None if they share none."""
        if not self.frozen_blocks:
            return None
        return cast(VisionTransformer, self.teacher['backbone']).first_blocks(
            inputs, self.frozen_blocks
        )

    def _project(
        self, neck: nn.Module, found: TappedTokens, clusters: ClusterAssignments | None
    ) -> tuple[Tensor, Tensor | None]:
        """Logits of images (2B, P) and of clusters (2·B·h·K, P_c), view 1's first."""
        if clusters is None:
            return neck(found.cls_token)
        scale = found.cls_token.float().norm(dim=-1).mean()
        if self.sync_statistics:
            scale = differentiable_all_reduce_mean(scale)
        tokens = found.tokens.unflatten(0, (2, -1))
        return neck(
            found.cls_token, cluster_representations(clusters.plans, tokens, scale).flatten(0, -2)
        )

    def diagnostics(self) -> dict[str, Tensor]:
        """Spread of the teacher's tokens in the last iteration's views, for the log.

        :class:`mmcroc.training.DeferredRuntimeInfoHook` asks for it when the logger prints: the
        eigenvalues wait for the device. Each rank has its own tokens.

        Returns:
            ``teacher_effective_rank`` and ``teacher_mean_cosine`` of
            :mod:`mmcroc.numerics.token_spread`; nothing before the first iteration.
        """
        if self._teacher_tokens is None:
            return {}
        tokens = self._teacher_tokens.flatten(0, -2)
        return dict(
            teacher_effective_rank=effective_rank(tokens), teacher_mean_cosine=mean_cosine(tokens)
        )
