"""A recorded case of HSG's losses, as inputs and weights of our modules."""

import ast

import numpy as np
import torch

from mmcroc.hsg.head import HSGHead
from mmcroc.hsg.neck import LearnedPosition2d
from mmcroc.weights.released_hsg import GROUPING


def recorded_tensors(path, device='cpu'):
    """All tensors of a file of recorded numbers."""
    with np.load(path) as file:
        return {k: torch.from_numpy(file[k]).to(device) for k in file.files if k != 'cfg'}


class RecordedLosses:
    """Inputs, modules with the recorded weights, and what came out of the release.

    Args:
        path: ``hsg_losses_*.npz``.
        dtype: What everything is computed in.
        device: Where.
        **changes: Settings of the head.
    """

    def __init__(self, path, dtype=torch.float64, device='cpu', **changes):
        with np.load(path) as file:
            self.config = ast.literal_eval(str(file['cfg']))
        self.numbers = recorded_tensors(path, device)
        config, weights = self.config, self.config['loss_weights']
        assert weights['appearance'] == 1 and weights['fine'] == weights['coarse']
        self.head = HSGHead(
            num_groups=[config['fine_clusters'], config['coarse_clusters']],
            transformer=dict(
                channels=config['dim'],
                num_heads=config['nheads'],
                num_encoder_layers=config['encoder_layers'],
                num_decoder_layers=config['decoder_layers'],
                feedforward_channels=config['feedforward'],
                dropout=config['dropout'],
            ),
            grid=config['kmeans_grid'],
            kmeans_iterations=config['kmeans_iterations'],
            concentration=config['concentration'],
            grouping_weight=weights['fine'],
            goodness_weight=weights['goodness'],
            centroid_weight=weights['centroid'],
            num_neighbours=config['dmon_knn'],
            neighbour_graph={'each view': 'view', 'both views': 'image'}[config['dmon_graph']],
            **dict(dict(max_segments=config['max_segments_per_image']), **changes),
        )
        self.position = LearnedPosition2d(config['dim'])
        self.network = torch.nn.ModuleDict(
            dict(head=self.head, neck=torch.nn.ModuleDict(dict(position=self.position)))
        )
        state = GROUPING.rename(self._with_prefix('state/'))
        wrong = self.network.load_state_dict(state, strict=False)
        # The release counts neither batches nor the position entries trained.
        ours = ('num_batches_tracked', 'position.trained')
        assert all(name.endswith(ours) for name in wrong.missing_keys)
        # Features of the last level are of no use to anyone.
        assert all(name.startswith('head.levels.1.feature.') for name in wrong.unexpected_keys)
        self.network.to(device, dtype).train()
        self.embedding = self.numbers['embedding'].to(dtype).requires_grad_()
        regions = self.numbers['oversegmentation']
        self.regions = torch.where(self.numbers['ignore_mask'], -1, regions)

    def _with_prefix(self, prefix):
        return {
            key.removeprefix(prefix): value
            for key, value in self.numbers.items()
            if key.startswith(prefix)
        }

    def losses(self, embedding=None):
        """Our losses under the release's names (its five weighted terms), and the rest as is."""
        embedding = self.embedding if embedding is None else embedding
        found = self.head.loss(embedding, self.regions, self.position(*self.embedding.shape[-2:]))
        self.found = found
        return dict(
            appearance=found['loss_appearance'],
            fine=found['loss_grouping_1'],
            coarse=found['loss_grouping_2'],
            goodness=sum(
                found[f'loss_{name}_{level}']
                for name in ('modularity', 'balance')
                for level in (1, 2)
            ),
            centroid=found['loss_centroid_1'] + found['loss_centroid_2'],
        )

    def gradients(self):
        """Recorded gradients of the weights, by our names, with ours beside."""
        wanted = self._with_prefix('grad/')
        wanted.pop('embedding')
        ours = dict(self.network.named_parameters())
        return {name: (ours[name].grad, value) for name, value in GROUPING.rename(wanted).items()}
