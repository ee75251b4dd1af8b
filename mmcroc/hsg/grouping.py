"""The transformer that groups a set of nodes into a few clusters (HSG)."""

import copy
from typing import NamedTuple

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.hsg.segments import filled_places
from mmcroc.numerics.precision import in_float32
from mmcroc.registry import MODELS


@in_float32
def coarser_assignment(assignment: Tensor, transition: Tensor) -> Tensor:
    """``P_{l+1} = C P_l``: every coarse group is a union of soft fine groups, by construction.

    P_l (N, K, M) are each node's probabilities of K groups, C (N, L, K) each group's of L coarser
    ones.
    """
    return transition @ assignment


def group_means(values: Tensor, assignment: Tensor, mask: Tensor) -> Tensor:
    """Means of nodes' values (N, M, C) over the groups that they most probably belong to.

    Of probabilities (N, K, M), and nodes that exist (N, M): (N, K, C), zero for an empty group.
    """
    group = assignment.argmax(1)
    numbers = torch.arange(assignment.shape[1], device=group.device)
    member = ((group[:, None, :] == numbers[:, None]) & mask[:, None, :]).to(values)
    return member @ values / member.sum(-1, keepdim=True).clamp_min(1)


class Grouping(NamedTuple):
    """What a clustering transformer finds in N sets of M nodes, K groups each.

    Attributes:
        probabilities: (N, K, M), each node's probabilities of the groups.
        centroids: (N, K, C), not normalised.
        features: (N, K, C), the nodes of the next level; None at the last.
    """

    probabilities: Tensor
    centroids: Tensor
    features: Tensor | None


def _norm_last(norm: nn.Module, x: Tensor) -> Tensor:
    """A norm over the last dimension of (N, M, C); a batch norm's statistics are over N and M."""
    return norm(x.flatten(0, -2)).view(x.shape)


def _branch(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Layers of which the last is a norm."""
    return _norm_last(layers[-1], layers[:-1](x))


class _Attention(nn.MultiheadAttention):
    """Torch's multi-head attention, batch first, without its weights."""

    def __init__(self, channels: int, num_heads: int, dropout: float):
        super().__init__(channels, num_heads, dropout, batch_first=True)

    def forward(  # type: ignore[override]
        self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None
    ) -> Tensor:
        if padding is not None:  # of the first keys; the others are left out
            number = padding.shape[1]
            key, value = key[:, :number], value[:, :number]
        return super().forward(query, key, value, key_padding_mask=padding, need_weights=False)[0]


class _FeedForward(nn.Module):
    """Linear, ReLU, linear."""

    def __init__(self, channels: int, hidden_channels: int, dropout: float):
        super().__init__()
        self.linear1 = nn.Linear(channels, hidden_channels)
        self.linear2 = nn.Linear(hidden_channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.linear1(x).relu()))


def _copies(layer: nn.Module, number: int) -> nn.ModuleList:
    """A stack of layers that start with the same values."""
    return nn.ModuleList(copy.deepcopy(layer) for _ in range(number))


class _EncoderLayer(nn.Module):
    """Self-attention and feed-forward, the norm after each sum."""

    def __init__(
        self, channels: int, num_heads: int, hidden_channels: int, dropout: float, norm_cfg: dict
    ):
        super().__init__()
        self.self_attention = _Attention(channels, num_heads, dropout)
        self.feed_forward = _FeedForward(channels, hidden_channels, dropout)
        self.norm1, self.norm2 = (build_norm_layer(norm_cfg, channels)[1] for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, padding: Tensor | None) -> Tensor:
        located = x + position
        x = x + self.dropout(self.self_attention(located, located, x, padding))
        x = _norm_last(self.norm1, x)
        return _norm_last(self.norm2, x + self.dropout(self.feed_forward(x)))


class _DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the nodes, feed-forward."""

    def __init__(
        self, channels: int, num_heads: int, hidden_channels: int, dropout: float, norm_cfg: dict
    ):
        super().__init__()
        self.self_attention = _Attention(channels, num_heads, dropout)
        self.cross_attention = _Attention(channels, num_heads, dropout)
        self.feed_forward = _FeedForward(channels, hidden_channels, dropout)
        self.norm1, self.norm2, self.norm3 = (
            build_norm_layer(norm_cfg, channels)[1] for _ in range(3)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, query: Tensor, nodes: Tensor, position: Tensor, padding: Tensor | None
    ) -> Tensor:
        asked = x + query
        x = _norm_last(self.norm1, x + self.dropout(self.self_attention(asked, asked, x)))
        found = self.cross_attention(x + query, nodes + position, nodes, padding)
        x = _norm_last(self.norm2, x + self.dropout(found))
        return _norm_last(self.norm3, x + self.dropout(self.feed_forward(x)))


@MODELS.register_module()
class ClusteringTransformer(BaseModule):
    """Groups of a set of nodes, by learned queries.

    The layout is DETR's (arXiv 2005.12872) with batch normalisation, over all (node, image) pairs,
    in place of layer normalisation. The probability of a group is the softmax over groups of
    ``centroidᵀ · encoded node / √C``. Groups are ordered by their greatest logit.

    Weights start as in the release: all matrices of encoder, decoder and of the MLP that makes the
    decoder's start are Xavier-uniform, each sampled by itself; the layers of a stack have equal
    biases and norms; queries are normal(0, 1); the branches after the decoder have torch's default.

    Args:
        channels: Width C of nodes and positions.
        num_groups: Number K of groups.
        num_heads: Number of attention heads.
        num_encoder_layers: Number of the encoder's layers.
        num_decoder_layers: Number of the decoder's layers.
        feedforward_channels: Width inside feed-forwards; 2C by default.
        dropout: Dropout rate, also in the attention.
        norm_cfg: ``dict(type='BN1d')`` as released, or ``dict(type='LN')``.
        is_last: Whether no level follows, which would need features.
        sharpness: First standard deviation of the centroids' channels, 1 as released. Logits are as
            many times as far apart, so that groups differ from the first step on and leave the
            plateau at which all are equally probable.
        centred_logits: Whether the mean over its image's nodes is taken from each group's logits;
            False as released. No group is then the most probable one of every node, however alike
            an image's nodes are.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        channels: int = 128,
        num_groups: int = 8,
        num_heads: int = 4,
        num_encoder_layers: int = 2,
        num_decoder_layers: int = 2,
        feedforward_channels: int | None = None,
        dropout: float = 0.1,
        norm_cfg: dict | None = None,
        is_last: bool = False,
        sharpness: float = 1.0,
        centred_logits: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if channels % num_heads:
            raise ValueError(
                f'ClusteringTransformer: channels={channels} is not divisible by '
                f'num_heads={num_heads}'
            )
        norm_cfg = norm_cfg or dict(type='BN1d')
        hidden = feedforward_channels or 2 * channels
        layer = channels, num_heads, hidden, dropout, norm_cfg
        self.encoder = _copies(_EncoderLayer(*layer), num_encoder_layers)
        self.decoder = _copies(_DecoderLayer(*layer), num_decoder_layers)
        self.decoder_norm = build_norm_layer(norm_cfg, channels)[1]
        self.start = nn.Sequential(
            nn.Linear(2 * channels, hidden, bias=False),
            build_norm_layer(norm_cfg, hidden)[1],
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        self.query = nn.Embedding(num_groups, channels)
        centroid, feature = (
            nn.Sequential(
                nn.ReLU(),
                nn.Linear(channels, channels, bias=False),
                build_norm_layer(norm_cfg, channels)[1],
            )
            for _ in range(2)
        )
        self.centroid = centroid
        self.feature = None if is_last else feature  # unused, it would stop data-parallel training
        for part in (self.encoder, self.decoder, self.start):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        nn.init.constant_(self.centroid[-1].get_parameter('weight'), sharpness)
        self.centred_logits = centred_logits

    def forward(self, nodes: Tensor, position: Tensor, mask: Tensor | None = None) -> Grouping:
        """Group the nodes.

        Args:
            nodes: (N, M, C), zero where there is none.
            position: (N, M, C), the nodes' positions, zero where there is none.
            mask: (N, M), nodes that exist; all by default. Others are no keys of any attention;
                they are queries of the encoder and enter the batch norms.

        Returns:
            Groups, ordered by their greatest logit over the nodes, descending.

        Raises:
            ValueError: One set of nodes to train on, whose batch norm has nothing to compare.
        """
        if self.training and len(nodes) == 1 and isinstance(self.start[1], nn.BatchNorm1d):
            raise ValueError(
                'ClusteringTransformer: batch norms over images need at least 2 images per '
                'process: raise train_dataloader.batch_size, or set '
                'model.head.transformer.norm_cfg=dict(type="LN")'
            )
        padding = None
        if mask is not None:
            # An image without nodes: nothing to attend to would give NaN; its nodes are all zero.
            padding = (~mask & mask.any(1, keepdim=True))[:, : filled_places(mask)]
        for layer in self.encoder:
            nodes = layer(nodes, position, padding)
        query = self.query.weight.expand(len(nodes), -1, -1)
        summary = self._summary(nodes, mask)
        x = self.start(summary)[:, None].expand_as(query)
        for layer in self.decoder:
            x = layer(x, query, nodes, position, padding)
        x = _norm_last(self.decoder_norm, x)
        centroids = _branch(self.centroid, x)
        if self.centred_logits:
            mean, _ = summary.chunk(2, dim=-1)
            nodes = nodes - mean[:, None]
        logits = centroids @ nodes.mT / nodes.shape[-1] ** 0.5
        order = logits.detach().amax(-1).argsort(dim=-1, descending=True)[..., None]
        features = None
        if self.feature is not None:
            features = _branch(self.feature, x).take_along_dim(order, 1)
        return Grouping(
            logits.take_along_dim(order, 1).softmax(1), centroids.take_along_dim(order, 1), features
        )

    @staticmethod
    def _summary(nodes: Tensor, mask: Tensor | None) -> Tensor:
        """Mean and spread of the encoded nodes (N, M, C): (N, 2C).

        With a mask the squared deviations of *all* places, masked ones as if they held 0, are
        divided by the number of nodes plus 1: as released.
        """
        if mask is None:
            return torch.cat([nodes.mean(1), nodes.std(1)], dim=-1)
        count = mask.sum(1, keepdim=True)
        nodes = nodes * mask[..., None]
        mean = nodes.sum(1) / count.clamp_min(1)
        squares = (nodes - mean[:, None]).square().sum(1) / (count + 1)
        # The square root's slope at 0 is infinite: images without nodes or of equal ones (one
        # region in all of a batch without padding) would give NaN.
        flat = squares == 0
        return torch.cat([mean, squares.masked_fill(flat, 1).sqrt().masked_fill(flat, 0)], -1)
