"""Checkpoints as HSG's authors write them, of a tiny model with drawn weights."""

import torch

from mmcroc.registry import MODELS
from mmcroc.weights.released_hsg import GROUPING, NETWORK
from tests.support.hsg_models import hsg_config, settle_statistics


def released_hsg(path, stage=2):
    """Write ``embedding_model`` and ``prediction_model``; gives our model of the same weights.

    Args:
        path: Where.
        stage: 1: without positions, queries and transformers.
    """
    transformer = dict(channels=16, num_heads=4, num_encoder_layers=2, num_decoder_layers=2)
    head = dict(type='mmcroc.HSGHead', num_groups=[], grid=(1, 1), kmeans_iterations=1)
    if stage == 2:
        head = dict(type='mmcroc.HSGHead', num_groups=[8, 4], transformer=transformer)
    cfg = hsg_config(head=head)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg['model'], data_preprocessor=cfg['data_preprocessor']))
    settle_statistics(model)
    if stage == 2:
        model.neck.position.trained.copy_(torch.tensor([28, 448]))  # as all released trainings
    model.eval()
    released = {}
    # The release keeps no record of the entries trained.
    ours = {key: v for key, v in model.state_dict().items() if key != 'neck.position.trained'}
    for key, value in ours.items():
        name = NETWORK.inverse().name(key) or GROUPING.inverse().name(key)
        if stage == 2 or not key.startswith('neck.position.'):
            released[name] = value
    if stage == 2:  # the release has features of the last level too, and never uses them
        for name in ('1.weight', '2.weight', '2.bias', '2.running_mean', '2.running_var'):
            of_fine = released[f'fine_hrchy_transformer.centroid_feat_fc.{name}']
            released[f'coarse_hrchy_transformer.centroid_feat_fc.{name}'] = of_fine
    torch.save(dict(embedding_model=released, prediction_model={}), path)
    return model
