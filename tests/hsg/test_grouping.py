"""The clustering transformer, and groups of groups."""

import pytest
import torch
from torch.testing import assert_close

from mmcroc.hsg.grouping import ClusteringTransformer, coarser_assignment, group_means

LN, BN = dict(type='LN'), dict(type='BN1d')
PLACES = 7


def draw(places=PLACES, counts=(7, 4, 1), seed=0):
    """Nodes and positions (3, places, 16), zero beyond each image's count, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    nodes, position = torch.randn(2, 3, PLACES, 16, generator=generator, dtype=torch.float64)
    mask = torch.arange(PLACES) < torch.tensor(counts)[:, None]
    pad = places - PLACES
    nodes, position = (
        torch.nn.functional.pad(x * mask[..., None], (0, 0, 0, pad)) for x in (nodes, position)
    )
    return nodes, position, torch.nn.functional.pad(mask, (0, pad))


def build(norm_cfg=LN, dropout=0.0, **settings):
    torch.manual_seed(1)
    settings = dict(dict(channels=16, num_groups=5, num_heads=2), **settings)
    return ClusteringTransformer(norm_cfg=norm_cfg, dropout=dropout, **settings).double()


def encode(model, *inputs):
    """What the encoder hands on, and the grouping."""
    found = []
    handle = model.encoder[-1].register_forward_hook(lambda *args: found.append(args[-1]))
    grouping = model(*inputs)
    handle.remove()
    return found[0], grouping


def without_order(grouping):
    """Groups in an order that depends on nothing but themselves."""
    order = grouping.centroids[..., :1].argsort(1)
    return [values.take_along_dim(order, 1) for values in grouping]


def changed(nodes, position, mask):
    noise = torch.randn(nodes.shape, generator=torch.Generator().manual_seed(9)).double()
    return nodes + noise * ~mask[..., None], position - noise * ~mask[..., None], mask


def test_with_layer_norm_what_lies_in_padded_places_reaches_no_valid_node():
    model, inputs = build(), draw()
    mask = inputs[2]
    (encoded, found), (other, moved) = (encode(model, *x) for x in (inputs, changed(*inputs)))
    assert_close(encoded[mask], other[mask])
    assert (encoded[~mask] - other[~mask]).abs().max() > 0.1
    # Padded queries may still decide which group comes first: the order is by all logits.
    for a, b in zip(without_order(found), without_order(moved), strict=True):
        keep = mask[:, None] if a.shape[-1] == PLACES else torch.ones((), dtype=torch.bool)
        assert_close(a * keep, b * keep)


def test_with_layer_norm_padded_places_get_no_gradient_from_valid_nodes():
    nodes, position, mask = draw()
    nodes.requires_grad_()
    encoded, grouping = encode(build(), nodes, position, mask)
    weights = torch.randn(grouping.centroids.shape).double()
    (encoded[mask].square().sum() + (grouping.centroids * weights).sum()).backward()
    assert nodes.grad[mask].abs().min() > 0 and not nodes.grad[~mask].any()


def test_the_number_of_padded_places_reaches_no_node_but_the_decoders_start():
    # The released spread divides by count + 1 but sums over padded places too.
    model = build()
    narrow, wide = (encode(model, *draw(places))[0] for places in (PLACES, PLACES + 6))
    assert_close(wide[:, :PLACES], narrow)
    for encoded, places in ((narrow, PLACES), (wide, PLACES + 6)):
        mask = draw(places)[2]
        found = model._summary(encoded, mask)
        for image, valid, values in zip(encoded, mask, found, strict=True):
            mean = image[valid].mean(0)
            squares = (image[valid] - mean).square().sum(0) + (~valid).sum() * mean.square()
            assert_close(values, torch.cat([mean, (squares / (valid.sum() + 1)).sqrt()]))


def test_without_a_mask_mean_and_spread_are_the_usual_ones():
    nodes = draw()[0]
    found = ClusteringTransformer._summary(nodes, None)
    assert_close(found, torch.cat([nodes.mean(1), nodes.std(1)], -1))


def test_batch_norm_sees_padded_nodes_in_training_only():
    model, inputs = build(BN), draw()
    mask = inputs[2]
    (encoded, _), (other, _) = (encode(model, *x) for x in (inputs, changed(*inputs)))
    assert (encoded - other)[mask].abs().max() > 1e-2
    model.eval()
    (encoded, _), (other, _) = (encode(model, *x) for x in (inputs, changed(*inputs)))
    assert_close(encoded[mask], other[mask])


@pytest.mark.parametrize('norm_cfg', [LN, BN])
def test_groups_are_softmax_of_logits_ordered_by_the_greatest(norm_cfg):
    model, inputs = build(norm_cfg), draw()
    encoded, found = encode(model, *inputs)
    logits = torch.einsum('nkc,nmc->nkm', found.centroids, encoded) / 16**0.5
    assert_close(found.probabilities, logits.softmax(1))
    greatest = logits.amax(-1)
    assert (greatest[:, :-1] >= greatest[:, 1:]).all()
    assert found.features.shape == found.centroids.shape == (3, 5, 16)


def test_features_are_ordered_with_their_centroids():
    model, inputs = build(), draw()
    model.feature.load_state_dict(model.centroid.state_dict())
    found = model(*inputs)
    assert torch.equal(found.features, found.centroids)


def test_order_of_nodes_and_of_queries_changes_nothing_else():
    model, (nodes, position, _) = build(BN), draw()
    found = model(nodes, position)
    order = torch.randperm(PLACES, generator=torch.Generator().manual_seed(3))
    turned = model(nodes[:, order], position[:, order])
    assert_close(turned.probabilities, found.probabilities[..., order])
    assert_close(turned.centroids, found.centroids)
    with torch.no_grad():
        model.query.weight.copy_(model.query.weight.flip(0))
    for a, b in zip(model(nodes, position), found, strict=True):
        assert_close(a, b)


def test_values_carry_no_position():
    # Attention of equal weights (zero queries' projection) is a mean of values: of the nodes only.
    model, (nodes, position, mask) = build(num_encoder_layers=1), draw()
    attention = model.encoder[0].self_attention
    with torch.no_grad():
        attention.in_proj_weight[:16] = 0
    (encoded, _), (other, _) = (encode(model, nodes, p, mask) for p in (position, 3 * position))
    assert_close(encoded, other)


@pytest.mark.parametrize('norm_cfg', [LN, BN])
@pytest.mark.parametrize('counts', [(7, 4, 0), (0, 0, 0)])
def test_an_image_without_nodes_gives_no_nan(norm_cfg, counts):
    model, (nodes, position, mask) = build(norm_cfg), draw(counts=counts)
    nodes.requires_grad_()
    found = model(nodes, position, mask)
    sum(x.square().sum() for x in found).backward()
    for value in (*found, nodes.grad, *(p.grad for p in model.parameters())):
        assert torch.isfinite(value).all()


def test_equal_nodes_without_spread_give_no_nan():
    # One region in every image and no padding, or images of one colour.
    for places in (1, 2):
        model, nodes = build(), draw()[0][:, :1].expand(3, places, 16).clone().requires_grad_()
        everything = torch.ones(3, places, dtype=torch.bool)
        found = model(nodes, torch.zeros_like(nodes), everything)
        sum(x.square().sum() for x in found).backward()
        for value in (*found, nodes.grad, *(p.grad for p in model.parameters())):
            assert torch.isfinite(value).all()


def test_dropout_acts_in_training_only():
    model, inputs = build(dropout=0.5), draw()
    assert not torch.equal(model(*inputs)[1], model(*inputs)[1])
    model.eval()
    assert torch.equal(model(*inputs)[1], model(*inputs)[1])


def test_heads_that_do_not_divide_the_channels_are_told():
    with pytest.raises(ValueError, match=r'channels=10 .* num_heads=4'):
        ClusteringTransformer(channels=10, num_heads=4)
    with pytest.raises(ValueError, match=r'channels=10 .* num_heads=4'):
        ClusteringTransformer(channels=10, num_heads=4)


def test_one_image_to_train_on_is_refused_by_name():
    model, nodes = build(norm_cfg=dict(type='BN1d')), torch.randn(1, 5, 16).double()
    with pytest.raises(ValueError, match='at least 2 images per process'):
        model.train()(nodes, nodes)
    model.eval()(nodes, nodes)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_coarse_probabilities_are_sums_over_the_fine_groups():
    fine, transition = numbers(2, 8, 5).softmax(1), numbers(2, 4, 8, seed=1).softmax(1)
    coarse = coarser_assignment(fine, transition)
    for n in range(2):
        for group in range(4):
            for node in range(5):
                want = sum(transition[n, group, k] * fine[n, k, node] for k in range(8))
                assert_close(coarse[n, group, node], want)
    assert_close(coarse.sum(1), torch.ones(2, 5, dtype=torch.float64))


def test_nodes_of_one_hard_fine_group_share_their_coarse_group():
    group = torch.randint(8, (50,), generator=torch.Generator().manual_seed(2))
    fine = torch.nn.functional.one_hot(group, 8).double().mT[None]
    coarse = coarser_assignment(fine, numbers(1, 4, 8).softmax(1))[0].argmax(0)
    for k in range(8):
        assert len(coarse[group == k].unique()) <= 1


def test_means_are_those_of_a_loop_and_zero_without_members():
    probabilities, values = numbers(3, 6, 9).softmax(1), numbers(3, 9, 4, seed=1)
    mask = torch.arange(9) < torch.tensor([[9], [2], [0]])
    found = group_means(values, probabilities, mask)
    empty = 0
    for n in range(3):
        for k in range(6):
            members = [
                values[n, m]
                for m in range(9)
                if mask[n, m] and int(probabilities[n, :, m].argmax()) == k
            ]
            empty += not members
            want = sum(members) / len(members) if members else torch.zeros(4, dtype=torch.float64)
            assert_close(found[n, k], want)
    assert 6 < empty < 18


def test_means_pass_gradients_to_the_members_only():
    probabilities, values = numbers(1, 3, 5).softmax(1), numbers(1, 5, 2).requires_grad_()
    mask = torch.tensor([[True, True, True, False, False]])
    group_means(values, probabilities, mask).sum().backward()
    assert values.grad[0, :3].all() and not values.grad[0, 3:].any()


@pytest.mark.parametrize('norm_cfg', [LN, BN], ids=['LN', 'BN'])
def test_a_sharper_start_multiplies_first_logits_and_changes_nothing_else(norm_cfg):
    plain, sharp = build(norm_cfg), build(norm_cfg, sharpness=4.0)
    differing = {
        name
        for name, value in plain.state_dict().items()
        if not torch.equal(value, sharp.state_dict()[name])
    }
    assert differing == {f'centroid.{len(plain.centroid) - 1}.weight'}
    found, sharper = plain(*draw()), sharp(*draw())
    assert_close(sharper.centroids, 4 * found.centroids)
    assert_close(sharper.features, found.features)
    logits = found.probabilities.log()
    assert_close(sharper.probabilities, (4 * logits).softmax(1))
    entropies = [-(p * p.log()).sum(1).mean() for p in (found.probabilities, sharper.probabilities)]
    assert entropies[1] < entropies[0]


@pytest.mark.parametrize('norm_cfg', [LN, BN], ids=['LN', 'BN'])
def test_with_centred_logits_no_group_has_all_nodes_of_an_image(norm_cfg):
    inputs = draw(counts=(7, 4, 2))
    shared = numbers(3, 1, 16) * 9  # an image's nodes have a large part in common
    alike = inputs[0] + shared * inputs[2][..., None]
    plain, centred = (
        build(norm_cfg, num_encoder_layers=0, centred_logits=value)(alike, *inputs[1:])
        for value in (False, True)
    )
    counts = [
        [len(groups[real].unique()) for groups, real in zip(p.argmax(1), inputs[2], strict=True)]
        for p in (plain.probabilities, centred.probabilities)
    ]
    assert max(counts[0]) == 1 and min(counts[1]) > 1


def test_centred_logits_are_logits_less_their_mean_over_the_real_nodes():
    inputs, centred = draw(), build(centred_logits=True)
    found, want = without_order(centred(*inputs)), without_order(build()(*inputs))
    assert_close(found[1:], want[1:])
    logits = want[0].log()
    mean = (logits * inputs[2][:, None]).sum(-1, keepdim=True) / inputs[2].sum(1)[:, None, None]
    assert_close(found[0], (logits - mean).softmax(1))
    alone = centred(inputs[0][:, :4], inputs[1][:, :4])  # no mask: the mean is over all
    assert_close(alone.probabilities.log().diff(dim=1).mean(-1), torch.zeros(3, 4).double())
