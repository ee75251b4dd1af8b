"""CrOC's head against the released loss."""

import ast

import numpy as np
import pytest
import torch

from mmcroc.croc.head import CrOCHead
from tests.support.devices import ON_DEVICES


@pytest.mark.parity
@ON_DEVICES
def test_losses_gradients_and_centres_reproduce_the_released_ones(recorded_croc_loss, device):
    with np.load(recorded_croc_loss) as arrays:
        want = {k: torch.as_tensor(arrays[k]).to(device) for k in arrays.files if k != 'cfg'}
        cfg = ast.literal_eval(str(arrays['cfg']))
    epochs = sorted(int(k.removeprefix('image_loss_ep')) for k in want if 'image_loss_ep' in k)
    assert epochs
    for epoch in epochs:
        head = CrOCHead(
            num_prototypes=want['student_image'].shape[1],
            num_cluster_prototypes=want['student_centroid'].shape[1],
            student_temperature=cfg['student_temp'],
            teacher_temperature=cfg['teacher_temp'],
            warmup_teacher_temperature=cfg['warmup_teacher_temp'],
            warmup_epochs=cfg['warmup_epochs'],
            center_momentum=cfg['center_momentum'],
        ).to(device)
        head.center.copy_(want['center_before'])
        head.cluster_center.copy_(want['center_c_before'])
        head.set_epoch(epoch)
        assert head.teacher_temperature == pytest.approx(want[f'teacher_temp_ep{epoch}'].item())
        image = want['student_image'].clone().requires_grad_()
        cluster = want['student_centroid'].clone().requires_grad_()
        losses = head.loss(
            (image, cluster),
            (want['teacher_image'], want['teacher_centroid']),
            torch.ones(len(cluster) // 2, dtype=torch.bool, device=device),
        )
        close = dict(rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(losses['loss_image'], want[f'image_loss_ep{epoch}'], **close)
        torch.testing.assert_close(
            losses['loss_cluster'], want[f'centroid_loss_ep{epoch}'], **close
        )
        (losses['loss_image'] + losses['loss_cluster']).backward()
        close = dict(rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(image.grad, want[f'grad_student_image_ep{epoch}'], **close)
        torch.testing.assert_close(cluster.grad, want[f'grad_student_centroid_ep{epoch}'], **close)
        torch.testing.assert_close(head.center, want['center_after'], **close)
        torch.testing.assert_close(head.cluster_center, want['center_c_after'], **close)


def test_the_temperature_warms_up_once_per_epoch_and_stays():
    head = CrOCHead(
        8, 0, teacher_temperature=0.07, warmup_teacher_temperature=0.04, warmup_epochs=3
    )
    seen = []
    for epoch in (0, 1, 2, 3, 50):
        head.set_epoch(epoch)
        seen.append(head.teacher_temperature)
    assert seen == pytest.approx([0.04, 0.055, 0.07, 0.07, 0.07])


def test_sharing_invalid_rows_changes_nothing():
    """Rows of clusters that are not valid neither cost nor move the centre."""
    torch.manual_seed(0)
    image, cluster = torch.randn(2, 4, 8), torch.randn(2, 6, 5)  # (teacher/student, 2R, P)
    with_invalid = torch.cat([cluster.view(2, 2, 3, 5), torch.randn(2, 2, 2, 5)], dim=2).flatten(
        1, 2
    )
    results = []
    for rows, valid in ((cluster, [True] * 3), (with_invalid, [True] * 3 + [False] * 2)):
        head = CrOCHead(8, 5)
        losses = head.loss((image[1], rows[1]), (image[0], rows[0]), torch.tensor(valid))
        results.append((losses, head.cluster_center))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])
