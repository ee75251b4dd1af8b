"""Label propagation: the reference's numbers, what loops find, any tile the same."""

import ast
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmcroc.evaluation.davis_folder import read_frame, read_mask
from mmcroc.evaluation.davis_propagation import first_labels, label_map, propagate, transfer
from mmcroc.evaluation.davis_settings import DAVIS
from tests.support.devices import ON_DEVICES
from tests.support.paths import DATA, FIXTURES

CASES = (
    'base', 'radius_off', 'radius_large', 'few_candidates', 'ties', 'short', 'short_queue',
    'portrait', 'middle_vanishes', 'last_vanishes', 'all_vanish', 'flipped',
)  # fmt: skip
FILE = FIXTURES / 'davis_propagation.npz'


@pytest.fixture(scope='module')
def reference():
    with np.load(FILE) as file:
        return dict(file)


def named(kind, last):
    """Masks ('read') or frames that the reference read: drawn, and of DAVIS itself if it is there.

    ``MMCROC_DATA`` says where; the fixtures that come with us have none of these.
    """
    with np.load(FILE) as file:
        keys = set(file)
    found = sorted(key for key in keys if key.startswith(kind) and key.endswith(last))
    names = [key[len(kind) + 1 : -len(last)] for key in found]
    array = 'mask' if kind == 'read' else 'rgb'
    return [name for name in names if DATA or f'{kind}_{name}_{array}' in keys]


def path_of(reference, key, folder, real):
    """File of a drawn picture of the reference, or of DAVIS."""
    if key not in reference:
        return Path(DATA, 'davis2017', real)
    Image.fromarray(reference[key]).save(folder / 'drawn.png')
    return folder / 'drawn.png'


@pytest.mark.parity
@ON_DEVICES
@pytest.mark.parametrize('case', CASES)
def test_propagation_is_that_of_dinos_script(reference, case, device):
    cfg = ast.literal_eval(str(reference['cfg']))[case]
    grid, size = cfg['grid'], tuple(cfg['original_size'])
    features = torch.from_numpy(reference[f'{case}_features']).mT.unflatten(-1, grid)
    first = first_labels(reference[f'{case}_first_mask'], grid)
    np.testing.assert_array_equal(first, reference[f'{case}_first_onehot'])
    settings = cfg['n_last_frames'], cfg['radius'], 'square', cfg['topk'], cfg['temperature']
    soft = list(propagate(features.to(device), first, *settings))
    np.testing.assert_allclose(
        torch.stack(soft).cpu(), reference[f'{case}_soft'], rtol=0, atol=1e-5
    )
    frame = tuple(side * cfg['patch_size'] for side in grid)
    masks = np.stack([label_map(each, frame, size) for each in soft])
    assert (masks != reference[f'{case}_masks']).mean() <= 1e-4


@pytest.mark.parity
@pytest.mark.parametrize('name', named('read', '_tokens16'))
def test_first_masks_are_read_as_by_dinos_script(reference, name, tmp_path):
    real = f'Annotations/480p/{name}/00000.png'
    mask = read_mask(path_of(reference, f'read_{name}_mask', tmp_path, real))
    for patch in (8, 16):
        if f'read_{name}_tokens{patch}' in reference:
            rows, columns = DAVIS.frame_size(mask.shape, patch)
            labels = first_labels(mask, (rows // patch, columns // patch))
            np.testing.assert_array_equal(labels.argmax(0), reference[f'read_{name}_tokens{patch}'])
            assert len(labels) == reference.get(f'read_{name}_channels{patch}', len(labels))


@pytest.mark.parity
@pytest.mark.parametrize('name', named('frame', '_sampled'))
def test_frames_are_read_as_by_dinos_script(reference, name, tmp_path):
    real = f'JPEGImages/480p/{name}/00000.jpg'
    path = path_of(reference, f'frame_{name}_rgb', tmp_path, real)
    with Image.open(path) as image:
        size = DAVIS.frame_size((image.height, image.width), 16)
    np.testing.assert_array_equal(size, reference[f'frame_{name}_size'])
    frame = read_frame(path, size, 'opencv', DAVIS.std)[:, 5::16, 7::16]
    np.testing.assert_allclose(frame, reference[f'frame_{name}_sampled'], rtol=0, atol=1e-5)


def some_frames(number=5, height=9, width=13, channels=6, objects=3, seed=0):
    """Unit features (number, h, w, C) and soft labels (number, K, h, w), float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = number, height, width, channels
    features = torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.rand(number, objects, height, width, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(features, dim=-1), labels


def looped_transfer(target, sources, labels, radius, window, topk, temperature):
    """Labels of every token, one after another."""
    height, width, _ = target.shape
    soft = torch.zeros(labels.shape[1:], dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            found = []
            for frame, given in zip(sources, labels, strict=True):
                for v in range(height):
                    for u in range(width):
                        away = abs(v - y), abs(u - x)
                        square = max(away) <= radius
                        inside = square if window == 'square' else np.hypot(*away) <= radius
                        if inside or not radius:
                            cosine = float(target[y, x] @ frame[v, u])
                            found.append((cosine, given[:, v, u]))
            found.sort(key=lambda pair: -pair[0])
            least = found[:topk][-1][0]
            kept = [(exp(c / temperature), given) for c, given in found if c >= least]
            total = sum(weight for weight, _ in kept)
            soft[:, y, x] = sum(weight / total * given for weight, given in kept)
    return soft


@pytest.mark.parametrize('window', ['square', 'round'])
@pytest.mark.parametrize(('radius', 'topk'), [(0, 5), (2, 5), (1, 40), (3, 1)])
def test_transfer_is_that_of_a_loop_over_tokens(window, radius, topk):
    features, labels = some_frames(3, 4, 6)
    arguments = features[0], features[1:], labels[1:], radius, window, topk, 0.1
    torch.testing.assert_close(transfer(*arguments, tile=3), looped_transfer(*arguments))


@pytest.mark.parametrize('window', ['square', 'round'])
@pytest.mark.parametrize('radius', [0, 2, 30])
def test_any_tile_gives_the_same_labels(window, radius):
    features, labels = some_frames()
    features = (8 * features).round() / 8  # with ties
    arguments = features[0], features[1:], labels[1:], radius, window, 5, 0.1
    whole = transfer(*arguments, tile=100)
    for tile in (1, 2, 5, 9):
        torch.testing.assert_close(transfer(*arguments, tile=tile), whole)


def test_memory_grows_with_the_window_and_not_with_the_frame():
    """Of 4096 tokens a token is never compared with more than its tile's windows cover."""
    features, labels = some_frames(2, 64, 64)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    with Watch():
        transfer(features[0], features[1:], labels[1:], 2, 'square', 5, 0.1, tile=4)
    assert largest <= max(features[0].numel(), 4**2 * 8**2)


def test_an_object_that_fills_the_frame_stays_unless_constant_maps_count_nothing():
    soft = torch.stack([torch.zeros(3, 4), torch.ones(3, 4)])
    assert (label_map(soft, (6, 8), (12, 16)) == 1).all()
    assert (label_map(soft, (6, 8), (12, 16), constant_to_zero=True) == 0).all()


def test_nearest_upsampling_keeps_the_tokens_corners():
    soft = torch.eye(2).repeat(2, 1, 1)
    soft[0] = 1 - soft[1]
    ids = label_map(soft, (32, 32), (6, 4), 'nearest')
    np.testing.assert_array_equal(ids, np.eye(2, dtype=np.uint8).repeat(3, 0).repeat(2, 1))


def test_features_of_half_precision_are_compared_in_single():
    features, labels = some_frames()
    half = [frame.permute(2, 0, 1).half() for frame in features]
    single = [frame.float() for frame in half]
    for found, wanted in zip(propagate(half, labels[0]), propagate(single, labels[0]), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted)
