"""Contrast of pixels and prototypes against loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close

from mmcroc.hsg import contrast
from mmcroc.hsg.contrast import nearest_label_accuracy, segsort_loss, segsort_sums
from tests.support.devices import ON_DEVICES
from tests.support.hsg_oracle import looped_loss


def draw(pixels=30, segments=12, labels=4, channels=6, seed=0, dtype=torch.float64):
    """Unit pixels and prototypes, pixels' own segments, segments' labels."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(pixels, channels, generator=generator, dtype=torch.float64)
    prototypes = torch.randn(segments, channels, generator=generator, dtype=torch.float64)
    own = torch.randint(segments, (pixels,), generator=generator)
    labels = torch.randint(labels, (segments,), generator=generator)
    unit = (F.normalize(x, dim=1).to(dtype) for x in (embedding, prototypes))
    return *unit, own, labels


@pytest.mark.parametrize('concentration', [1.0, 16.0])
@pytest.mark.parametrize('labels', [1, 4, 40])
def test_loss_is_that_of_a_loop(concentration, labels):
    embedding, prototypes, own, labels = draw(labels=labels)
    mask = torch.ones(12, dtype=torch.bool)
    mask[[2, 7]] = False
    own[(own == 2) | (own == 7)] = -1
    found = segsort_loss(embedding, prototypes, own, labels, mask, concentration)
    want = looped_loss(embedding, prototypes, own, labels, mask, concentration)
    assert_close(found.item(), want, rtol=1e-12, atol=1e-14)


def test_a_lone_segment_is_its_own_positive():
    prototypes = torch.eye(3, dtype=torch.float64)
    loss = segsort_loss(prototypes[:1], prototypes, torch.tensor([0]), torch.arange(3))
    assert_close(loss.item(), -math.log(math.exp(16) / (math.exp(16) + 2)))


def test_the_own_segment_is_no_positive_beside_another():
    prototypes = torch.eye(3, dtype=torch.float64)
    labels = torch.tensor([5, 5, 6])
    loss = segsort_loss(prototypes[:1], prototypes, torch.tensor([0]), labels)
    assert_close(loss.item(), math.log(2))


def test_float32_keeps_what_subtracting_the_own_term_loses():
    # The own segment's similarity exceeds the positive's by far: exp(16) - exp(16) + exp(-8).
    prototypes = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-1.0, 0.0]])
    arguments = torch.tensor([0]), torch.tensor([0, 0, 1])
    exact = segsort_loss(prototypes[:1].double(), prototypes.double(), *arguments)
    assert_close(segsort_loss(prototypes[:1], prototypes, *arguments).double(), exact, rtol=1e-5,
                 atol=0)  # fmt: skip
    terms = (16 * prototypes @ prototypes[0]).exp()
    subtracted = terms[:2].sum() - terms[0]
    lossy = -(subtracted / (subtracted + terms[2])).log()
    assert not torch.isclose(lossy.double(), exact, rtol=1e-2, atol=0)


def test_gradients_of_embedding_and_prototypes():
    embedding, prototypes, own, labels = draw(pixels=9, segments=7, labels=3)
    own[4] = -1
    mask = torch.arange(7) != own[0]
    own[own == own[0]] = -1
    inputs = embedding.requires_grad_(), prototypes.requires_grad_()
    for chunk_size in (None, 2):
        assert torch.autograd.gradcheck(
            lambda e, p, chunk_size=chunk_size: segsort_loss(
                e, p, own, labels, mask, 4.0, chunk_size=chunk_size
            ),
            inputs,
        )


def test_gradient_reaches_one_who_alone_asks_and_is_scaled():
    embedding, prototypes, own, labels = draw()
    for inputs in ((embedding, prototypes), (prototypes, embedding)):
        asking = inputs[0].requires_grad_()
        loss = segsort_loss(embedding, prototypes, own, labels)
        once, thrice = (torch.autograd.grad(k * loss, asking, retain_graph=True)[0] for k in (1, 3))
        assert once.any()
        assert_close(thrice, 3 * once)
        asking.requires_grad_(False)


@pytest.mark.parametrize('chunk_size', [1, 7, 29, 30, 31, 1000])
def test_chunks_change_neither_loss_nor_gradient(chunk_size):
    def run(chunk_size):
        embedding, prototypes, own, labels = draw()
        own[3] = -1
        inputs = embedding.requires_grad_(), prototypes.requires_grad_()
        loss = segsort_loss(*inputs, own, labels, chunk_size=chunk_size)
        return loss, *torch.autograd.grad(loss, inputs)

    for found, want in zip(run(chunk_size), run(None), strict=True):
        assert_close(found, want, rtol=1e-12, atol=1e-14)


def draw_images(images=2, all_images=4, pixels=8, places=5, labellings=3, first_image=1):
    """Arguments of segsort_sums, some pixels and places left out, some labels without a second."""
    generator = torch.Generator().manual_seed(0)

    def draw_int(high, *shape):
        return torch.randint(high, shape, generator=generator)

    unit = (
        F.normalize(torch.randn(*shape, 4, generator=generator, dtype=torch.float64), dim=-1)
        for shape in ((images, pixels), (all_images, places))
    )
    mask = torch.arange(places) < 2 + draw_int(places - 1, all_images, 1)
    own = draw_int(2, images, pixels)
    own[:, ::3] = -1
    labels = draw_int(3, labellings, images, places)
    labels[-1] = torch.arange(places)
    return *unit, own, labels, mask, 4.0, first_image


def test_sums_of_images_are_those_of_pixels_against_all_prototypes():
    pixels, prototypes, own, labels, mask, concentration, first = draw_images()
    found = segsort_sums(pixels, prototypes, own, labels, mask, concentration, first)
    images, places = labels.shape[1:]
    offset = (torch.arange(images) + first)[:, None] * places
    own = torch.where(own < 0, -1, own + offset).flatten()
    for number, label in enumerate(labels):
        everyones = -torch.ones_like(mask, dtype=torch.long)
        everyones[first : first + images] = label + offset
        want = segsort_loss(
            pixels.flatten(0, 1), prototypes.flatten(0, 1), own, everyones.flatten(),
            mask.flatten(), concentration, count=torch.tensor(1),
        )  # fmt: skip
        assert_close(found[number], want, rtol=1e-12, atol=0)


@pytest.mark.parametrize('kept_entries', [0, 10**6])
@pytest.mark.parametrize('chunk_size', [None, 3])
def test_gradients_of_sums_of_images_each_weighted_by_itself(chunk_size, kept_entries, monkeypatch):
    monkeypatch.setattr(contrast, 'KEPT_ENTRIES', kept_entries)
    pixels, prototypes, *others = draw_images()
    weights = torch.tensor([1.0, 0.3, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda e, p: weights * segsort_sums(e, p, *others, chunk_size=chunk_size),
        (pixels.requires_grad_(), prototypes.requires_grad_()),
    )


class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
    """Numbers of entries of the tensors that operations make while it is entered."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        self.found.extend(x.numel() for x in [found] if isinstance(x, torch.Tensor))
        return found


def test_memory_does_not_grow_as_pixels_times_prototypes(monkeypatch):
    monkeypatch.setattr(contrast, 'KEPT_ENTRIES', 1000 * 100 - 1)
    embedding, prototypes, own, labels = draw(pixels=1000, segments=100)
    with Sizes() as sizes:
        segsort_loss(embedding.requires_grad_(), prototypes, own, labels, chunk_size=10).backward()
    assert max(sizes.found) <= 1000 * 6


def test_left_out_pixels_and_prototypes_count_nowhere():
    embedding, prototypes, own, labels = draw()
    mask = torch.arange(12) < 8
    own[own >= 8] = -1
    few = own >= 0
    whole = segsort_loss(embedding, prototypes, own, labels, mask)
    only = segsort_loss(embedding[few], prototypes[:8], own[few], labels[:8])
    assert_close(whole, only)


def test_no_pixel_at_all_gives_zero_and_no_gradient():
    embedding, prototypes, own, labels = draw()
    inputs = embedding.requires_grad_(), prototypes.requires_grad_()
    for mask in (None, torch.zeros(12, dtype=torch.bool)):
        loss = segsort_loss(*inputs, torch.full_like(own, -1), labels, mask)
        assert loss == 0
        assert not any(grad.any() for grad in torch.autograd.grad(loss, inputs))


def test_the_sum_is_divided_by_a_given_count():
    embedding, prototypes, own, labels = draw()
    mean = segsort_loss(embedding, prototypes, own, labels)
    # A mean over ranks need not be a whole number, nor be above one.
    for count in (0.5, 4.0):
        found = segsort_loss(embedding, prototypes, own, labels, count=torch.tensor(count))
        assert_close(found, mean * 30 / count)


@ON_DEVICES
def test_autocast_changes_nothing(device):
    embedding, prototypes, own, labels = (x.to(device) for x in draw(dtype=torch.float32))
    want = segsort_loss(embedding, prototypes, own, labels)
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(segsort_loss(embedding, prototypes, own, labels), want)


@pytest.mark.parametrize('num_neighbours', [1, 5])
def test_accuracy_is_that_of_scikit_learns_neighbours(num_neighbours):
    _, prototypes, _, labels = draw(segments=40)
    mask = torch.arange(40) % 7 != 0
    index = NearestNeighbors(n_neighbors=num_neighbours, metric='cosine').fit(prototypes[mask])
    nearest = torch.from_numpy(index.kneighbors(prototypes[:25][mask[:25]])[1])
    want = (labels[mask][nearest] == labels[:25][mask[:25], None]).double().mean()
    found = nearest_label_accuracy(
        prototypes[:25], labels[:25], mask[:25], prototypes, labels, mask, num_neighbours
    )
    assert_close(found.double(), want)


def test_accuracys_memory_does_not_grow_as_prototypes_squared(monkeypatch):
    _, prototypes, _, labels = draw(segments=200)
    mask = torch.arange(200) % 7 != 0
    arguments = prototypes, labels, mask, prototypes, labels, mask
    want = nearest_label_accuracy(*arguments)
    monkeypatch.setattr(contrast, 'GPU_CHUNK_ENTRIES', 200 * 9)
    with Sizes() as sizes:
        found = nearest_label_accuracy(*arguments)
    assert_close(found, want)
    assert max(sizes.found) <= 200 * 9


def test_accuracy_with_fewer_prototypes_than_neighbours():
    _, prototypes, _, labels = draw(segments=4, labels=1)
    for mask in (torch.arange(4) < 2, torch.ones(4, dtype=torch.bool)):
        assert nearest_label_accuracy(prototypes, labels, mask, prototypes, labels, mask) == 1
    nothing = torch.zeros(4, dtype=torch.bool)
    assert nearest_label_accuracy(prototypes, labels, nothing, prototypes, labels, nothing) == 0
