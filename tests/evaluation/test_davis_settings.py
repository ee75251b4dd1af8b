"""Settings of the protocols on DAVIS: sizes, names, refusals."""

from dataclasses import replace

import pytest

from mmcroc.evaluation.davis_settings import DAVIS, DAVIS_DINOV3, DavisSettings


@pytest.mark.parametrize(
    ('size', 'stride', 'wanted'),
    [
        ((480, 854), 16, (480, 832)),
        ((480, 910), 8, (480, 896)),
        ((480, 1152), 16, (480, 1152)),
        ((854, 480), 16, (832, 480)),
        ((480, 854), 14, (476, 826)),
        ((480, 480), 16, (480, 448)),
    ],
)
def test_frames_of_dinos_script_have_the_longer_side_floored(size, stride, wanted):
    assert DAVIS.frame_size(size, stride) == wanted


@pytest.mark.parametrize(
    ('size', 'stride', 'wanted'),
    [
        ((480, 854), 16, (960, 1712)),
        ((854, 480), 16, (1712, 960)),
        ((480, 854), 14, (966, 1722)),
    ],
)
def test_frames_of_dinov3s_notebook_have_both_sides_rounded_up(size, stride, wanted):
    assert DAVIS_DINOV3.frame_size(size, stride) == wanted


def test_a_changed_setting_is_in_the_name():
    assert DAVIS.protocol == 'davis'
    assert DAVIS_DINOV3.protocol == 'davis-dinov3'
    assert replace(DAVIS, radius=8, topk=3).protocol == 'davis (radius=8, topk=3)'
    assert replace(DAVIS_DINOV3, temperature=0.1).protocol == 'davis-dinov3 (temperature=0.1)'


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(window='circle'), r"window must be one of \('square', 'round'\), got 'circle'"),
        (dict(preset='davis17'), 'preset must be one of'),
        (dict(topk=0), 'topk must be at least 1, got 0'),
        (dict(radius=-1), 'radius must be at least 0'),
        (dict(temperature=0.0), 'temperature must be above 0'),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DavisSettings(**wrong)


def test_frames_smaller_than_a_token_are_refused():
    with pytest.raises(ValueError, match='short_side=8 and multiple=64 leave no whole token'):
        replace(DAVIS, short_side=8).frame_size((480, 854), 16)
