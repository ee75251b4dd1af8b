"""Heads trained together on kept tokens, against one convolution trained by PyTorch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmcroc.numerics.linear_heads import (
    KeptTokens,
    LinearHeads,
    epoch_order,
    initial_heads,
    train_linear_heads,
)

NUM_IMAGES, NUM_CLASSES, DIM, GRID, MAP = 11, 3, 5, (4, 6), (10, 9)
SETTINGS = dict(num_epochs=4, batch_size=3, lr=0.3, milestones=(2,))


@pytest.fixture
def kept():
    """Two draws of eleven images; a fifth of the pixels without a label, one image without any."""
    generator = torch.Generator().manual_seed(0)
    kept = KeptTokens(2, NUM_IMAGES, DIM, GRID, MAP)
    for draw in range(2):
        for place in range(NUM_IMAGES):
            labels = torch.randint(NUM_CLASSES, MAP, generator=generator)
            labels[torch.rand(MAP, generator=generator) < 0.2] = 255
            if place == 4:
                labels[:] = 255
            kept.put(draw, place, torch.randn(DIM, *GRID, generator=generator), labels)
    return kept


def convolution_trained_alone(kept, start, seed):
    """MMSegmentation's linear head: a 1x1 convolution, resized scores, torch's SGD."""
    head = nn.Conv2d(DIM, NUM_CLASSES, 1)
    head.weight.data, head.bias.data = start.weight[0, :, :, None, None].clone(), start.bias[0] * 1
    optimizer = torch.optim.SGD(
        head.parameters(), lr=SETTINGS['lr'], momentum=0.9, weight_decay=1e-4
    )
    for epoch in range(4):
        if epoch == 2:
            optimizer.param_groups[0]['lr'] *= 0.1
        losses = []
        draw, order = epoch % 2, epoch_order(seed, epoch, NUM_IMAGES)
        for images in order[:9].split(3):
            tokens = kept.tokens[draw, images].float().mT.unflatten(2, GRID)
            scores = F.interpolate(head(tokens), size=MAP, mode='bilinear')
            loss = F.cross_entropy(scores, kept.labels[draw, images].long(), ignore_index=255)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
    return head, sum(losses) / 3


def test_each_head_is_the_convolution_trained_alone(kept):
    seeds = [0, 7]
    heads = initial_heads(seeds, NUM_CLASSES, DIM)
    losses = train_linear_heads(kept, heads, NUM_IMAGES, seeds, **SETTINGS)
    for i, seed in enumerate(seeds):
        start = initial_heads([seed], NUM_CLASSES, DIM)
        want, loss = convolution_trained_alone(kept, start, seed)
        assert float(losses[i]) == pytest.approx(loss, rel=1e-5)
        assert (heads.weight[i] - start.weight[0]).abs().max() > 0.01  # something was learnt
        torch.testing.assert_close(
            heads.weight[i], want.weight.detach()[..., 0, 0], atol=1e-6, rtol=1e-5
        )
        torch.testing.assert_close(heads.bias[i], want.bias.detach(), atol=1e-6, rtol=1e-5)


def test_scores_are_those_of_interpolated_tokens():
    generator = torch.Generator().manual_seed(1)
    heads = LinearHeads(
        torch.randn(2, 3, 5, generator=generator), torch.randn(2, 3, generator=generator)
    )
    tokens = torch.randn(5, 4, 6, generator=generator)
    larger = F.interpolate(tokens[None], size=(9, 11), mode='bilinear')[0]
    want = torch.einsum('skd,dhw->skhw', heads.weight, larger) + heads.bias[..., None, None]
    torch.testing.assert_close(heads.score_maps(tokens, (9, 11)), want)


def test_orders_differ_between_seeds_and_epochs_and_hold_every_image():
    orders = [epoch_order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4


@torch.no_grad()
def test_it_trains_where_gradients_are_off_as_in_an_evaluation(kept):
    heads = initial_heads([0], NUM_CLASSES, DIM)
    before = heads.weight.clone()
    train_linear_heads(kept, heads, NUM_IMAGES, [0], **SETTINGS)
    assert (heads.weight - before).abs().max() > 0.01


def test_a_batch_without_a_label_changes_nothing_but_by_decay(kept):
    kept.labels[:] = 255
    heads = initial_heads([0], NUM_CLASSES, DIM)
    before = heads.weight.clone()
    train_linear_heads(kept, heads, NUM_IMAGES, [0], weight_decay=0, **SETTINGS)
    torch.testing.assert_close(heads.weight, before)


def test_more_images_in_a_batch_than_there_are_is_refused(kept):
    heads = initial_heads([0], NUM_CLASSES, DIM)
    with pytest.raises(ValueError, match='batch of 12 images cannot be drawn from 11'):
        train_linear_heads(kept, heads, NUM_IMAGES, [0], batch_size=12)


def test_the_memory_is_told_before_it_is_taken(kept):
    gibibytes = KeptTokens.gibibytes(2, NUM_IMAGES, DIM, GRID, MAP)
    taken = kept.tokens.nbytes + kept.labels.nbytes
    assert gibibytes * 2**30 == pytest.approx(taken)
