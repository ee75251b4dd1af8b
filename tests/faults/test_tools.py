"""Tools that are killed while they write, and started again: nothing is lost or done twice."""

import functools
import json
import time

import pytest

from tests.support.faults import STAGES, Forked, kill_in_write
from tests.support.images import write_images

CAMPAIGN = pytest.mark.campaign
NAMES = ['a.png', 'b.png', 'c.png', 'deep/d.png']


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / 'in', NAMES)
    return tmp_path / 'in'


def run(tmp_path, tool, *words, code=0, kill=None):
    """Run a tool to its end, killed in a write or not; gives what it printed."""
    prepare = kill and functools.partial(kill_in_write, *kill)
    ended, printed = Forked(tool, *words, folder=tmp_path, prepare=prepare).end()
    assert ended == (-9 if kill else code), printed
    return printed


def files_of(folder):
    """Content of all files below a folder, by name; hidden ones are no results."""
    files = [path for path in folder.rglob('*') if path.is_file() and path.name[0] != '.']
    return {str(path.relative_to(folder)): path for path in files}


def killed_and_again(tmp_path, command, chance, writes, kept=''):
    """Run a tool whole into one folder, killed and again into another, which becomes the same.

    What was there whose name has ``kept`` in it stays untouched.
    """
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    run(tmp_path, *command(whole))
    moment = [chance.randint(*writes), chance.choice(STAGES)]
    run(tmp_path, *command(broken), kill=moment)
    there = {name: path for name, path in files_of(broken).items() if kept in name}
    before = {name: path.stat().st_mtime_ns for name, path in there.items()}
    run(tmp_path, *command(broken))
    done = files_of(broken)
    assert {name: path.read_bytes() for name, path in done.items()} == {
        name: path.read_bytes() for name, path in files_of(whole).items()
    }
    assert not [name for name in before if done[name].stat().st_mtime_ns != before[name]]
    assert not [path for path in broken.rglob('.*') if path.name != '.writer']


SEEDS = [0, *(pytest.param(seed, marks=CAMPAIGN) for seed in range(1, 4))]
LATER = [pytest.param(seed, marks=CAMPAIGN) for seed in range(3)]


@pytest.mark.parametrize('seed', SEEDS)
def test_extraction_goes_on_where_it_was_killed(images, tmp_path, seed, chance):
    def command(out):
        return 'extract', 'rgb', images, '--out', out, '--format', 'safetensors'

    killed_and_again(tmp_path, command, chance, writes=(2, 5))


@pytest.mark.parametrize('seed', LATER)
def test_oversegmentation_goes_on_where_it_was_killed(images, tmp_path, seed, chance):
    def command(out):
        options = ['--method', 'slic', '--num-workers', '1', '--sheet-images', '0']
        return 'prepare_oversegmentation', images, out, *options

    killed_and_again(tmp_path, command, chance, writes=(1, 4))


@pytest.mark.parametrize('seed', LATER)
def test_segmentation_goes_on_where_it_was_killed(images, tmp_path, seed, chance):
    """An image's sheet is its last file: without it the image is done again, the same."""

    def command(out):
        return 'segment', images, 'rgb', '--out', out, '--num-clusters', '3'

    killed_and_again(tmp_path, command, chance, writes=(3, 6), kept='sheets/')


@pytest.mark.parametrize('seed', LATER)
def test_a_memory_of_retrieval_is_whole_or_absent(images, tmp_path, seed, chance):
    def command(name):
        return ('retrieve', images / 'a.png', '--point', '3', '4', '--level', 'clusters',
                '--memory', images, '--checkpoint', 'rgb', '--num-clusters', '3',
                '--out', tmp_path / name / 'x.png')  # fmt: skip

    run(tmp_path, *command('whole'))
    run(tmp_path, *command('broken'), kill=[chance.randint(1, 2), chance.choice(STAGES)])
    known = [path.name for path in tmp_path.glob('broken/in-*.npz')]
    printed = run(tmp_path, *command('broken'))
    assert ('memory read from' if known else 'memory written to') in printed
    whole, again = (tmp_path / name / 'x.png' for name in ('whole', 'broken'))
    assert again.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize('stage', [pytest.param(stage, marks=CAMPAIGN) for stage in STAGES])
def test_an_export_is_whole_or_absent(straight, tmp_path, stage):
    def command(name):
        return (
            'export',
            straight / 'iter_6.pth',
            '--format',
            'timm',
            '--out',
            tmp_path / name / 'x.pth',
        )

    run(tmp_path, *command('whole'))
    run(tmp_path, *command('broken'), kill=[1, stage])
    if stage != 'renamed':
        assert not list(tmp_path.glob('broken/x*'))
        run(tmp_path, *command('broken'))
    whole, again = (tmp_path / name / 'x.pth' for name in ('whole', 'broken'))
    assert again.read_bytes() == whole.read_bytes()


@pytest.fixture
def masks(images, tmp_path):
    """Masks of two classes for the images."""
    from PIL import Image

    for name in NAMES:
        path = tmp_path / 'masks' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(images / name) as image:
            image.convert('L').point(lambda value: int(value > 127)).save(path)
    return tmp_path / 'masks'


def evaluation(images, masks, out, protocol, *more):
    return ('evaluate', 'rgb', '--protocol', protocol, '--images', images, '--masks', masks,
            '--val-fraction', '0.5', '--num-workers', '0', '--image-size', '32', '--work-dir',
            out, *more)  # fmt: skip


def scores(out):
    results = json.loads((out / 'results.json').read_text())['results']
    return {(one['model'], one['protocol']): (one['metrics'], one['date']) for one in results}


def test_evaluation_computes_nothing_twice_after_a_kill(images, masks, tmp_path):
    """Killed once the first of two results is on disk."""
    two = 'linear-ridge', '--baseline', 'random:deit-tiny/16'
    whole, broken = (
        evaluation(images, masks, tmp_path / name, *two) for name in ('whole', 'broken')
    )
    run(tmp_path, *whole)
    run(tmp_path, *broken, kill=[1, 'renamed'])
    kept = scores(tmp_path / 'broken')
    assert list(kept) == [('rgb', 'linear-ridge*')]
    printed = run(tmp_path, *broken)
    found, want = scores(tmp_path / 'broken'), scores(tmp_path / 'whole')
    assert found.items() >= kept.items(), 'with the date of before the kill'
    assert {key: found[key][0] for key in found} == {key: want[key][0] for key in want}
    assert 'rgb linear-ridge*' in printed.split('Computed before')[1]


def test_two_evaluations_of_one_folder_keep_each_others_results(images, masks, tmp_path):
    """The second reads the file before the first has written its results."""
    out = tmp_path / 'out'
    one, other = (
        Forked(
            *evaluation(images, masks, out, protocol), folder=tmp_path,
            prepare=functools.partial(meet, tmp_path / name, tmp_path / partner),
        )
        for protocol, name, partner in (
            ('linear-ridge', 'first', 'second'), ('clustering', 'second', 'first')
        )
    )  # fmt: skip
    assert one.end()[0] == other.end()[0] == 0
    assert len(scores(out)) == 2


def meet(mine, partner):
    """Have this process wait for its partner, once both have read the results of before."""
    from mmcroc.evaluation.report import Report

    load = Report.load

    def load_and_wait(path):
        report = load(path)
        mine.touch()
        while not partner.exists():
            time.sleep(0.02)
        return report

    Report.load = load_and_wait
