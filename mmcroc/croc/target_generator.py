"""Settings of the online clustering, as a target generator."""

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from mmcroc.croc.assignments import ClusterAssignments
from mmcroc.croc.clustering import online_clustering
from mmcroc.features.vision_transformer import ATTENTION_FEATURES, TappedTokens
from mmcroc.registry import MODELS

COST_SCALINGS = ('batch', 'problem')


@MODELS.register_module()
class OnlineClustering(BaseModule):
    """Clusters the teacher's tokens of both views jointly: the targets of CrOC's cluster level.

    The defaults are those of the released implementation, which are not the paper's.

    Args:
        feature: What is clustered: the last block's ``'k'``, ``'q'`` or ``'v'`` (per head), or
            ``'tokens'``, the final tokens of all channels (once per image).
        num_start_clusters: K₀, number of seeds of a problem.
        max_clusters: K_max, greatest number of clusters that a problem may end with.
        position_weight: λ_pos.
        sinkhorn_reg: λ.
        sinkhorn_iterations: Number of Sinkhorn's rounds, at least 1.
        token_temperature: T_r.
        cluster_temperature: T_c.
        uniform_marginals: Whether marginals are uniform instead of saliency-weighted.
        cost_scaling: ``'batch'`` as released, or ``'problem'``: images do not influence each
            other's clusters.
    """

    def __init__(
        self,
        feature: str = 'k',
        num_start_clusters: int = 5,
        max_clusters: int = 4,
        position_weight: float = 4.0,
        sinkhorn_reg: float = 20.0,
        sinkhorn_iterations: int = 5,
        token_temperature: float = 2.0,
        cluster_temperature: float = 2.0,
        uniform_marginals: bool = False,
        cost_scaling: str = 'batch',
    ):
        super().__init__()
        features = (*ATTENTION_FEATURES, 'tokens')
        if feature not in features:
            raise ValueError(f'OnlineClustering: feature={feature!r} is none of {features}')
        if num_start_clusters < 2:
            raise ValueError(
                'OnlineClustering: num_start_clusters must be at least 2 (with one cluster there '
                f'is nothing to choose), got {num_start_clusters}'
            )
        if not 2 <= max_clusters <= num_start_clusters:
            raise ValueError(
                'OnlineClustering: max_clusters must be between 2 and '
                f'num_start_clusters={num_start_clusters}, got {max_clusters}'
            )
        if sinkhorn_iterations < 1:
            raise ValueError(
                f'OnlineClustering: sinkhorn_iterations must be at least 1, '
                f'got {sinkhorn_iterations}'
            )
        if cost_scaling not in COST_SCALINGS:
            raise ValueError(
                f'OnlineClustering: cost_scaling={cost_scaling!r} is none of {COST_SCALINGS}'
            )
        self.feature = feature
        self.settings: dict[str, Any] = dict(
            num_start_clusters=num_start_clusters,
            max_clusters=max_clusters,
            position_weight=position_weight,
            sinkhorn_reg=sinkhorn_reg,
            sinkhorn_iterations=sinkhorn_iterations,
            token_temperature=token_temperature,
            cluster_temperature=cluster_temperature,
            uniform_marginals=uniform_marginals,
            cost_scaling=cost_scaling,
        )

    @property
    def tap(self) -> str | None:
        """Backbone feature to tap, None if the final tokens do."""
        return None if self.feature == 'tokens' else self.feature

    def forward(
        self, features: TappedTokens, positions: Tensor, seeds: Tensor | None = None
    ) -> ClusterAssignments:
        """Cluster a batch.

        Args:
            features: The teacher's tokens of 2B views, view 1's B images first.
            positions: (2, B, n, 2), patch positions in the source images.
            seeds: (B, h, K₀), seed tokens instead of sampled ones.

        Returns:
            Assignments of both views.

        Raises:
            ValueError: There are fewer tokens than seeds.
        """
        if features.attention is None:
            cls_tokens, tokens = features.cls_token.unsqueeze(1), features.tokens.unsqueeze(1)
        else:
            cls_tokens, tokens = features.attention[:, :, 0], features.attention[:, :, 1:]
        num_tokens, num_seeds = 2 * tokens.shape[-2], self.settings['num_start_clusters']
        if num_seeds > num_tokens:
            raise ValueError(
                f'OnlineClustering: num_start_clusters={num_seeds}, but the two views have only '
                f'{num_tokens} tokens together; lower it or enlarge the views'
            )
        return online_clustering(
            tokens.unflatten(0, (2, -1)),
            cls_tokens.unflatten(0, (2, -1)),
            positions,
            seeds=seeds,
            **self.settings,
        )
