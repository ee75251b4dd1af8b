"""What is installed, what does not fit, what to do about it: ``mmcroc doctor``.

Runs where the mm packages are missing or broken: nothing here imports any of them, or torch,
outside a check. The exit status is 1 if there is a problem.
"""

import argparse
import contextlib
import importlib
import io
import os
import re
import shutil
import sys
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

import mmcroc
from mmcroc import distributions
from mmcroc.config_files import config_names

OK, NOTE, PROBLEM = 'OK', 'note', 'problem'
LOWEST_PYTHON, HIGHEST_PYTHON = (3, 10), (3, 13)
#: Extras that bring the mm packages, which have a check of their own.
MM_EXTRAS = ('onedl', 'openmmlab')
INHERITED = ('mmseg::_base_/models/fcn_r50-d8.py', 'mmcroc::croc_vit-s_coco.py')
SHARED_MEMORY = '/dev/shm'
GIB = 2**30
#: What to do where an import fails, by a word of its error.
CURES = {
    'ftfy': 'MMSegmentation needs it and does not say so: pip install ftfy regex',
    'regex': 'MMSegmentation needs it and does not say so: pip install ftfy regex',
    'pkg_resources': 'The original MMEngine needs an older one: pip install "setuptools<82"',
    'numpy': 'The original mm packages need "numpy<2" and "opencv-python<4.12", OneDL\'s numpy 2.',
    'libGL': 'OpenCV wants a display library: pip install opencv-python-headless in its place.',
    'libcud': 'torch is of another CUDA than the driver: install it as https://pytorch.org says.',
    'torchvision': 'It must be of the same release and index as torch: install both in one '
    'command.',
}


@dataclass
class Finding:
    """Line of the report: what was found, and unless all is well what to do about it.

    The status is ``OK``; ``NOTE``, worth knowing; or ``PROBLEM``, something will fail.
    """

    status: str
    text: str
    advice: str = ''

    def __str__(self) -> str:
        advice = textwrap.wrap(self.advice, 92, break_long_words=False, break_on_hyphens=False)
        return '\n         '.join([f'{self.status:<8} {self.text}', *advice])


def judged(good: bool, text: str, advice: str, otherwise: str = PROBLEM) -> Finding:
    """Finding that is OK, or of another status with advice."""
    return Finding(OK, text) if good else Finding(otherwise, text, advice)


def import_error(module: str) -> str | None:
    """Why a module cannot be imported, in one line; None if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # broken builds raise whatever they like
        return f'{type(error).__name__}: {error}'.strip().splitlines()[0]
    return None


def cure(error: str) -> str:
    """What to do about a package that cannot be imported."""
    known = (advice for word, advice in CURES.items() if word in error)
    return next(known, 'Reinstall it: pip install --force-reinstall --no-deps NAME')


def check_python() -> Iterator[Finding]:
    """Python's version."""
    version = sys.version_info[:2]
    text = f'Python {sys.version.split()[0]}; mmcroc {mmcroc.__version__} in {mmcroc.__path__[0]}'
    status = PROBLEM if version < LOWEST_PYTHON else NOTE
    tested = LOWEST_PYTHON <= version <= HIGHEST_PYTHON
    yield judged(tested, text, 'mmcroc is tested with Python 3.10 to 3.13.', status)


def check_requirements() -> Iterator[Finding]:
    """What mmcroc's own metadata asks for, extra by extra."""
    try:
        requirements = [Requirement(text) for text in metadata.requires('mmcroc') or ()]
    except metadata.PackageNotFoundError:
        yield Finding(NOTE, 'mmcroc runs from its folder', 'Install it: pip install -e ".[onedl]"')
        return
    unmet: dict[str, list[str]] = defaultdict(list)
    extras: set[str] = set()
    for requirement in requirements:
        named = re.search(r'extra == "([^"]+)"', str(requirement.marker))
        extra = named[1] if named else ''
        if extra in MM_EXTRAS:
            continue
        extras.add(extra)
        number = distributions.installed_version(requirement.name)
        if number is None or not requirement.specifier.contains(number, prereleases=True):
            wanted = f'{requirement.name}{requirement.specifier}'
            unmet[extra].append(f'{wanted} ({number or "missing"})')
    for extra in sorted(extras):
        text = f'extra {extra}' if extra else 'requirements'
        install = f'To bring it: pip install -e ".[{extra}]"' if extra else 'pip install -e .'
        text += f': {", ".join(unmet[extra]) or "all there"}'
        yield judged(not unmet[extra], text, install, NOTE if extra else PROBLEM)


def check_libraries() -> Iterator[Finding]:
    """Whether torch and what is built against it can be imported."""
    for module in ('torch', 'torchvision', 'timm'):
        if error := import_error(module):
            yield Finding(PROBLEM, f'{module} cannot be imported: {error}', cure(error))
        else:
            yield Finding(OK, f'{module} {sys.modules[module].__version__}')


def check_mm_packages() -> Iterator[Finding]:
    """Which distribution each mm package comes from, and whether it can be imported."""
    installed = distributions.installed_distributions()
    for module, found in installed.items():
        text = f'{module}: ' + ' and '.join(f'{dist} {number}' for dist, number in found.items())
        if not found:
            names = ' or '.join(distributions.DISTRIBUTIONS[module])
            yield Finding(
                PROBLEM,
                f'{module} is not installed ({names})',
                'pip install -e ".[onedl]" brings it, for current torch; ".[openmmlab]" the '
                'original packages instead.',
            )
        elif len(found) > 1:
            yield Finding(
                PROBLEM,
                text,
                'Both own the same files and break each other, and removing one takes files of the '
                f'other along: pip uninstall {" ".join(found)}, then install one again.',
            )
        elif error := import_error(module):
            yield Finding(PROBLEM, f'{text}, which cannot be imported: {error}', cure(error))
        else:
            ((dist, number),) = found.items()
            wanted = distributions.tested_range(module, dist)
            tested = distributions.is_tested(module, dist, number)
            yield judged(tested, text, f'Not tested with mmcroc; tested is {wanted}.', NOTE)
    if len({dist.startswith('onedl-') for found in installed.values() for dist in found}) > 1:
        yield Finding(
            PROBLEM,
            'some mm packages are of OneDL, some the original ones',
            'They are released to go together: take all four from one source.',
        )
    if 'mmcv' in installed['mmcv'] and not import_error('mmcv') and import_error('mmcv._ext'):
        yield Finding(
            PROBLEM,
            'mmcv is without its compiled operators',
            'The original MMSegmentation imports them: build mmcv as docs/install.md says, or take '
            'the OneDL packages.',
        )


def check_itself() -> Iterator[Finding]:
    """Whether configs find mmcroc's classes, and inherit by name."""
    from mmengine.config import Config
    from mmengine.registry import MODELS

    found = MODELS.get('mmcroc.CrOC') is not None
    yield judged(found, "type='mmcroc.CrOC' in any config", 'MMEngine does not find it: reinstall.')
    with config_names():
        for base in INHERITED:
            model = Config.fromstring(f'_base_ = {base!r}', '.py').model.type
            yield Finding(OK, f"_base_ = '{base}' gives {model}")


def check_gpus() -> Iterator[Finding]:
    """Whether torch reaches a GPU, and whether it computes there."""
    import torch

    if not torch.cuda.is_available():
        yield Finding(
            PROBLEM if shutil.which('nvidia-smi') else NOTE,
            f'torch {torch.__version__} (CUDA {torch.version.cuda}) reaches no GPU',
            'Where there is none: demos, clustering, segmenting run on a CPU. Else torch is built '
            'for the CPU, or for a newer CUDA than the driver: install it and torchvision as '
            'https://pytorch.org says; or CUDA_VISIBLE_DEVICES hides the GPU.',
        )
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        try:
            free, total = torch.cuda.mem_get_info(index)
            probe = torch.ones(8, 8, device=f'cuda:{index}')
            right = float((probe @ probe).sum()) == 512
        except RuntimeError as error:
            yield Finding(
                PROBLEM,
                f'GPU {index} ({name}) does not compute: {str(error).splitlines()[0]}',
                '"no kernel image" means that this torch was not built for this GPU; "out of '
                'memory" that others fill it (nvidia-smi says who).',
            )
            continue
        text = f'GPU {index}: {name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free'
        yield judged(right, text, 'It computed a wrong sum.')


def check_shared_memory() -> Iterator[Finding]:
    """Room for what data loader workers hand over."""
    if os.path.isdir(SHARED_MEMORY):
        free = shutil.disk_usage(SHARED_MEMORY).free
        text = f'{free / GIB:.1f} GiB of shared memory ({SHARED_MEMORY})'
        advice = 'Data loader workers may die of "Bus error": start the container with '
        advice += '--shm-size=8g, or set train_dataloader.num_workers=0.'
        yield judged(free >= GIB, text, advice, NOTE)


def check_environment() -> Iterator[Finding]:
    """What MMEngine tells of the environment, for a report."""
    from mmengine.utils.dl_utils import collect_env

    for name, value in collect_env().items():
        if '\n' not in str(value):  # how torch was compiled takes pages
            yield Finding(OK, f'{name}: {value}')


CHECKS = (
    check_python, check_requirements, check_libraries, check_mm_packages, check_itself, check_gpus,
    check_shared_memory, check_environment,
)  # fmt: skip


def examine(checks: Iterable[Callable[[], Iterable[Finding]]] = CHECKS) -> Iterator[Finding]:
    """Findings of all checks, whatever becomes of each, as they come."""
    for check in checks:
        try:
            # What imports warn of and print, a check of its own says.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter('ignore')
                findings = list(check())
        except Exception as error:
            text = f'{type(error).__name__}: {error}'.strip().splitlines()[0]
            findings = [Finding(PROBLEM, f'{check.__name__} failed: {text}', cure(text))]
        yield from findings


def main(argv: list[str] | None = None) -> None:
    """Print the report; exit status 1 if there is a problem."""
    argparse.ArgumentParser('python -m mmcroc.doctor', description=__doc__).parse_args(argv)
    statuses = []
    for finding in examine():
        statuses.append(finding.status)
        print(finding, flush=True)
    print(f'\n{statuses.count(PROBLEM)} problems, {statuses.count(NOTE)} notes')
    sys.exit(PROBLEM in statuses)


if __name__ == '__main__':
    main()
