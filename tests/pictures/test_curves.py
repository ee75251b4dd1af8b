"""Logs of runs, as MMEngine writes them, and their curves."""

import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend

from mmcroc.pictures.curves import default_keys, plot_curves, read_run

PROBE = 'clustering-probe/mIoU'


def write_start(work_dir, name, records):
    """A start's log, by MMEngine's own backend."""
    backend = LocalVisBackend(str(work_dir / name / 'vis_data'))
    for record in records:
        backend.add_scalars(dict(record))
    return work_dir / name


def training(iterations, epoch_length=None, offset=0.0):
    """A record of each iteration: its loss is the iteration (plus offset)."""
    for i in iterations:
        record = dict(loss=i + offset, loss_image=i / 2, lr=0.1)
        if epoch_length:
            record['epoch'] = (i - 1) // epoch_length + 1
        yield dict(record, iter=i, step=i)


def probe(step, value):
    return {PROBE: value, f'{PROBE}_std': 0.1, 'time': 1.0, 'step': step}


def points(run, key):
    return [tuple(point) for point in run.series[key].T]


def test_a_run_by_epochs_has_its_validations_where_epochs_end(tmp_path):
    records = [probe(0, 5.0), *training([5, 10, 15, 20], 10), probe(2, 7.0)]
    run = read_run(write_start(tmp_path, '20260101_000000', records).parent)
    assert run.epoch_length == 10
    assert points(run, 'loss') == [(i, i) for i in (5, 10, 15, 20)]
    assert points(run, PROBE) == [(0, 5.0), (20, 7.0)]


def test_a_run_by_iterations_has_its_validations_at_their_step(tmp_path):
    write_start(tmp_path, 'a', [probe(0, 5.0), *training([50, 100]), probe(100, 6.0)])
    run = read_run(tmp_path)
    assert run.epoch_length is None and points(run, PROBE) == [(0, 5.0), (100, 6.0)]


def test_starts_are_joined_in_order_and_a_resumed_one_takes_over(tmp_path):
    """The first stopped at 50, was resumed at 30 and then trained anew from the beginning."""
    write_start(tmp_path, '20260102_000000', training([35, 40, 60], offset=0.5))
    first = write_start(tmp_path, '20260101_000000', training([10, 20, 30, 40, 50]))
    want = [(10, 10), (20, 20), (30, 30), (35, 35.5), (40, 40.5), (60, 60.5)]
    assert points(read_run(tmp_path), 'loss') == want
    assert len(points(read_run(first), 'loss')) == 5  # one start by itself
    assert len(points(read_run(first / 'vis_data' / 'scalars.json'), 'loss')) == 5
    write_start(tmp_path, '20260103_000000', [probe(0, 1.0), *training([10])])
    run = read_run(tmp_path)
    assert points(run, 'loss') == [(10, 10)] and points(run, PROBE) == [(0, 1.0)]


def test_a_line_that_is_being_written_is_left_out_and_a_broken_one_named(tmp_path):
    file = write_start(tmp_path, 'a', training([1, 2])) / 'vis_data' / 'scalars.json'
    whole = file.read_text()
    file.write_text(whole + '{"loss": 3')
    assert points(read_run(tmp_path), 'loss') == [(1, 1), (2, 2)]
    file.write_text('{"loss": 3\n' + whole)
    with pytest.raises(ValueError, match=r'scalars\.json, line 1 is not JSON'):
        read_run(tmp_path)


def test_no_log_is_named(tmp_path):
    for path in (tmp_path, tmp_path / 'gone'):
        with pytest.raises(FileNotFoundError, match=rf'{path}: no vis_data.*LocalVisBackend'):
            read_run(path)


def test_by_default_losses_are_above_and_each_probes_mean_iou_is_below(tmp_path):
    write_start(tmp_path, 'a', [*training([1, 2]), probe(2, 3.0)])
    run = read_run(tmp_path)
    assert default_keys([run]) == ['loss', 'loss_image', PROBE]
    shown = [axis for axis in plot_curves([run]).axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == ['loss', 'loss_image', PROBE]
    tops = [axis.get_subplotspec().rowspan.start for axis in shown]
    assert tops == [0, 0, 1]


def test_lines_are_the_runs_values_over_iterations_or_epochs(tmp_path):
    write_start(tmp_path / 'one', 'a', [*training([5, 10, 15, 20], 10), probe(2, 3.0)])
    write_start(tmp_path / 'two', 'a', training([4, 8, 12], 4))
    runs = [read_run(tmp_path / name) for name in ('one', 'two')]
    for x, factors in (('iter', (1, 1)), ('epoch', (10, 4))):
        figure = plot_curves(runs, ['loss', PROBE], x)
        loss, probes = figure.axes
        for run, line, factor in zip(runs, loss.lines, factors, strict=True):
            places, values = run.series['loss']
            np.testing.assert_allclose(line.get_xdata(), places / factor)
            np.testing.assert_allclose(line.get_ydata(), values)
        assert probes.lines[0].get_xydata().tolist() == [[20 / factors[0], 3.0]]
        assert len(probes.lines[1].get_xdata()) == 0
        assert probes.lines[1].get_color() == loss.lines[1].get_color()  # a run has one colour
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.texts] == [run.name for run in runs]


def test_a_single_value_has_a_mark(tmp_path):
    write_start(tmp_path, 'a', training([1]))
    assert plot_curves([read_run(tmp_path)], ['loss']).axes[0].lines[0].get_marker() == 'o'


def test_unknown_keys_and_uncounted_epochs_are_named(tmp_path):
    write_start(tmp_path, 'a', [*training([1]), probe(1, 2.0)])
    run = read_run(tmp_path)
    with pytest.raises(ValueError, match=f'logged los, mIoU. There are: loss, .*lr, {PROBE}'):
        plot_curves([run], ['los', 'loss', 'mIoU'])
    with pytest.raises(ValueError, match=rf'{tmp_path} counted no epochs'):
        plot_curves([run], ['loss'], 'epoch')
    write_start(tmp_path / 'bare', 'a', [dict(lr=1.0, step=1)])
    with pytest.raises(ValueError, match=r'no losses and no probes.*There are: lr'):
        plot_curves([read_run(tmp_path / 'bare')])
