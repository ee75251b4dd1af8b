"""Pictures of what a model makes of images."""

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image

from mmcroc.croc.views import TwoViews
from mmcroc.data.two_views import crop_resize_flip
from mmcroc.features.dense_model import model_inputs
from mmcroc.pictures.label_maps import BOUNDARY, IGNORED, distinct_colours
from mmcroc.pictures.painters import (
    CROP_COLOURS,
    LINE_WIDTH,
    SIDE,
    AttentionPainter,
    ClusterPainter,
    PCAPainter,
    crops_on_image,
    draw_views,
    heat_map,
    photo_of,
)
from tests.support.croc_models import HEADS, PATCH, SIZE, build_croc
from tests.support.images import smooth_image
from tests.support.picture_runs import generator_states

IMAGE = smooth_image(64, 96)
VIEWS = TwoViews(size=SIZE, scale=(0.3, 0.9))


@pytest.fixture(scope='module')
def model():
    return build_croc().eval()


def cluster_painter(model, **options):
    return ClusterPainter(model, model.target_generator, **options)


def test_views_are_cut_where_their_boxes_lie_and_are_always_the_same():
    example = draw_views(IMAGE, VIEWS, 3, 7)
    for view, (*box, flip) in zip(example.views, example.view_boxes.tolist(), strict=True):
        np.testing.assert_array_equal(
            view, crop_resize_flip(IMAGE, [int(side) for side in box], SIZE, bool(flip))
        )
    again, other = draw_views(IMAGE, VIEWS, 3, 7), draw_views(IMAGE, VIEWS, 3, 8)
    np.testing.assert_array_equal(again.view_boxes, example.view_boxes)
    np.testing.assert_array_equal(again.views, example.views)
    assert (other.view_boxes != example.view_boxes).any()


def test_the_same_colour_is_the_same_cluster_in_both_views(model):
    """On black, where an overlay's colour is half the cluster's own."""
    example = draw_views(np.zeros_like(IMAGE), VIEWS, 0)
    painter = cluster_painter(model, heads=(0, 1))
    labels = painter.labels(example)
    grid = SIZE // PATCH
    assert labels.shape == (2, HEADS, grid, grid) and labels.max() > 0
    pictures = painter.paint(example)
    centres = (np.arange(grid) * 2 + 1) * SIDE // (2 * grid)
    for head in (0, 1):
        colour_of = {}
        for view in (0, 1):
            picture = np.asarray(pictures[f'view {view + 1}, clusters of head {head}'])
            for row, column in np.ndindex(grid, grid):
                colour = tuple(picture[centres[row], centres[column]])
                label = labels[view, head, row, column]
                assert colour_of.setdefault(label, colour) == colour
        assert len(set(colour_of.values())) == len(colour_of)
        for label, colour in colour_of.items():
            want = IGNORED if label < 0 else distinct_colours([label])[0] // 2
            assert colour == tuple(want) != BOUNDARY
        shared = [set(labels[view, head].flat) - {-1} for view in (0, 1)]
        assert shared[0] == shared[1]


def test_clusters_are_found_as_in_training(model, monkeypatch):
    """The same tokens, keys and positions reach the clustering as in the loss."""
    seen = []
    forward = model.target_generator.forward
    monkeypatch.setattr(
        model.target_generator,
        'forward',
        lambda found, positions, seeds=None: (
            seen.append((*found, positions)) or forward(found, positions, seeds)
        ),
    )
    example = draw_views(IMAGE, VIEWS, 0)
    cluster_painter(model).labels(example)
    views = torch.from_numpy(np.stack(example.views)).permute(0, 3, 1, 2)

    sample = DataSample(metainfo=dict(view_boxes=example.view_boxes))
    batch = dict(inputs=[views[:1], views[1:]], data_samples=[sample])
    model(**model.data_preprocessor(batch), mode='loss')
    ours, training = seen
    for mine, theirs in zip(ours, training, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_painting_leaves_the_generators_alone_and_repeats_itself(model):
    before = generator_states()
    painter = cluster_painter(model)
    example = draw_views(IMAGE, VIEWS, 0)
    first = painter.labels(example)
    assert generator_states() == before
    torch.rand(3)
    np.testing.assert_array_equal(painter.labels(example), first)
    others = [cluster_painter(model, seed=seed).labels(example) for seed in range(1, 6)]
    assert any((other != first).any() for other in others)


def test_clusters_of_final_tokens_have_one_head_and_a_wrong_head_is_named():
    model = build_croc(feature='tokens').eval()
    example = draw_views(IMAGE, VIEWS, 0)
    assert cluster_painter(model).labels(example).shape[1] == 1
    with pytest.raises(ValueError, match=r"heads \[1\]: clusters of 'tokens' have heads 0 to 0"):
        cluster_painter(model, heads=[1])
    with pytest.raises(ValueError, match='heads 0 to 1'):
        cluster_painter(build_croc(), heads=[0, 2])


def test_attention_to_patches_and_itself_sums_to_1_and_each_head_has_its_picture(model):
    painter = AttentionPainter(model, 96)
    maps = painter.attention(IMAGE)
    assert maps.shape == (HEADS, 8, 12)
    inputs = model_inputs(model, IMAGE, PATCH, 96)
    query, key = (painter.backbone.forward_tapped(inputs, f).attention for f in 'qk')
    for head in range(HEADS):
        logits = (key[0, head] @ query[0, head, 0]) / 12**0.5
        want = logits.exp() / logits.exp().sum()
        np.testing.assert_allclose(maps[head].ravel(), want[1:].detach(), rtol=1e-4)
        assert maps[head].sum() + float(want[0]) == pytest.approx(1, abs=1e-5)
    pictures = painter.paint(draw_views(IMAGE, VIEWS, 0))
    assert list(pictures) == ['[CLS], mean of heads', '[CLS], head 0', '[CLS], head 1']
    brightest = np.unravel_index(maps.mean(0).argmax(), maps.shape[1:])
    cell = np.array(photo_of(IMAGE).size[::-1]) / maps.shape[1:]
    row, column = ((np.array(brightest) + 0.5) * cell).astype(int)
    mean = np.asarray(pictures['[CLS], mean of heads'])
    assert mean[row, column].tolist() == [255, 255, 255]


def test_attention_sends_an_image_through_the_first_blocks_once(model):
    painter, calls = AttentionPainter(model, 96), []
    handle = painter.backbone.layers[0].register_forward_hook(lambda *_: calls.append(1))
    painter.attention(IMAGE)
    handle.remove()
    assert len(calls) == 1


def test_one_projection_serves_all_images(model):
    """An image has the colours that it has in another's company as long as that is the same."""
    examples = [draw_views(smooth_image(64, 96, seed), VIEWS, 0) for seed in range(3)]

    def painted(order):
        painter = PCAPainter(model, PATCH, 96)
        for index in order:
            painter.update(examples[index])
        painter.fit()
        return [painter.paint(one)['PCA of tokens'] for one in examples]

    for one, other in zip(painted([0, 1, 2]), painted([2, 0, 1]), strict=True):
        assert one.size == photo_of(IMAGE).size
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1
    alone = np.asarray(painted([0])[0]).astype(int)
    assert np.abs(alone - np.asarray(painted([0, 1, 2])[0])).max() > 10


def test_pictures_have_the_images_aspect_and_squares_are_views(model):
    image = smooth_image(96, 40)
    example = draw_views(image, VIEWS, 0)
    assert photo_of(image).size == (100, SIDE)
    pictures = cluster_painter(model).paint(example)
    assert {one.size for one in AttentionPainter(model, 96).paint(example).values()} == {
        (100, SIDE)
    }
    assert pictures.pop('crops').size == (100, SIDE)
    assert {one.size for one in pictures.values()} == {(SIDE, SIDE)}
    assert all(isinstance(one, Image.Image) and one.mode == 'RGB' for one in pictures.values())


def test_zero_is_black_the_greatest_white_and_between_them_more_is_brighter():
    values = np.array([[0.0, 0.1, 0.2, 0.4]])
    picture = np.asarray(heat_map(values, (8, 2))).astype(int)
    assert picture.shape == (2, 8, 3)
    row = picture[0, ::2]
    assert row[0].tolist() == [0, 0, 0] and row[-1].tolist() == [255, 255, 255]
    assert (np.diff(row.sum(1)) > 0).all()
    np.testing.assert_array_equal(picture[:, 0::2], picture[:, 1::2])  # coarse stays coarse


def test_scale_does_not_matter_and_nothing_at_all_is_black():
    values = np.random.default_rng(0).random((3, 4))
    pictures = [np.asarray(heat_map(values * factor, (4, 3))) for factor in (1, 1e-3)]
    np.testing.assert_array_equal(*pictures)
    assert not np.asarray(heat_map(np.zeros((2, 2)), (2, 2))).any()


GREY = np.full((60, 80, 3), 100, np.uint8)
BOXES = np.array([[10, 5, 30, 20, 0], [40, 30, 40, 30, 1]], np.float32)


@pytest.mark.parametrize('factor', [1, 2, 3])
def test_lines_are_the_crops_edge_pixels_and_nothing_else_is_touched(factor):
    photo = Image.fromarray(GREY).resize((80 * factor, 60 * factor))
    painted = np.asarray(crops_on_image(photo, (80, 60), BOXES))
    want = np.asarray(photo).copy()
    for (x, y, w, h), colour in zip(BOXES[:, :4].astype(int) * factor, CROP_COLOURS, strict=True):
        inside = want[y + LINE_WIDTH : y + h - LINE_WIDTH, x + LINE_WIDTH : x + w - LINE_WIDTH]
        kept = inside.copy()
        want[y : y + h, x : x + w] = colour
        inside[:] = kept
    np.testing.assert_array_equal(painted, want)


def test_the_whole_image_and_a_crop_of_few_pixels_can_be_drawn():
    boxes = np.array([[0, 0, 80, 60, 0], [79, 59, 1, 1, 0]], np.float32)
    painted = np.asarray(crops_on_image(Image.fromarray(GREY), (80, 60), boxes))
    assert (painted[0] == CROP_COLOURS[0]).all() and (painted[-1, 0] == CROP_COLOURS[0]).all()
    assert (painted[59, 79] == CROP_COLOURS[1]).all()
    assert (painted[30, 40] == 100).all()
