"""Versions, and distributions that clash."""

import importlib
import importlib.util
import platform
import sys

from mmcroc import distributions
from mmcroc.doctor.finding import NOTE, OK, PROBLEM, Finding

PYTHON = ((3, 10), (3, 13))  # lowest and highest tested
LOWEST_TORCH = (2, 4)
#: extra -> (what it is for, the modules it brings)
EXTRAS = {
    'oversegmentation': (
        'region maps for HSG (tools/prepare_oversegmentation.py)', ('higra', 'skimage'),
    ),
    'export': (
        'ONNX and Hugging Face (tools/export.py)', ('onnx', 'onnxruntime', 'transformers'),
    ),
    'docs': ('building these pages (mkdocs build)', ('mkdocs', 'material', 'mkdocstrings')),
    'tests': ('the tests (pytest)', ('pytest', 'ruff', 'sklearn')),
}  # fmt: skip
#: module -> what it is for. Not ours to bring: MMEngine's writers of curves and pictures.
LOGGERS = {
    'tensorboard': 'TensorboardVisBackend',
    'wandb': 'WandbVisBackend',
    'mlflow': 'MLflowVisBackend',
}


def is_there(module):
    """Whether a module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def import_error(module):
    """Why a module cannot be imported, in one line; None if it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # broken builds raise whatever they like
        text = f'{type(error).__name__}: {error}'.strip()
        return text.splitlines()[0]
    return None


def check_python():
    text = f'Python {platform.python_version()}, {platform.platform()}'
    if sys.version_info[:2] < PYTHON[0]:
        yield Finding(PROBLEM, text, 'mmcroc needs Python 3.10 or newer: make a new environment.')
    elif sys.version_info[:2] > PYTHON[1]:
        yield Finding(NOTE, text, 'mmcroc is tested with 3.10 to 3.13.')
    else:
        yield Finding(OK, text)


def check_torch():
    """torch, and what is built against it."""
    error = import_error('torch')
    if error:
        yield Finding(
            PROBLEM,
            f'torch cannot be imported: {error}',
            'Install it for your GPU, or for the CPU, as https://pytorch.org says.',
        )
        return
    import torch

    text = f'torch {torch.__version__}'
    if tuple(int(part) for part in torch.__version__.split('.')[:2]) < LOWEST_TORCH:
        yield Finding(PROBLEM, text, 'mmcroc needs 2.4 or newer: pip install -U torch torchvision')
    else:
        yield Finding(OK, text)
    for module in ('torchvision', 'timm'):
        error = import_error(module)
        if error:
            yield Finding(
                PROBLEM,
                f'{module} cannot be imported: {error}',
                'MMPretrain needs it. torchvision must be of the same release and from the same '
                'index as torch (a CUDA build does not go with a CPU torch): install both in one '
                'command.',
            )
        else:
            yield Finding(OK, f'{module} {importlib.import_module(module).__version__}')


def check_mm_packages():
    """Which distribution each mm package comes from, and whether it can be imported."""
    for module, found in distributions.installed_distributions().items():
        if not found:
            onedl, stock = distributions.DISTRIBUTIONS[module]
            yield Finding(
                PROBLEM,
                f'{module} is not installed ({onedl} or {stock})',
                'pip install -e ".[onedl]" brings it, for current torch; ".[openmmlab]" the '
                'original packages instead.',
            )
            continue
        text = f'{module}: ' + ' and '.join(f'{dist} {number}' for dist, number in found.items())
        if len(found) > 1:
            names = ' '.join(found)
            yield Finding(
                PROBLEM,
                text,
                'Both own the same files and break each other, and removing one takes files of '
                f'the other along: pip uninstall {names}, then install one again.',
            )
            continue
        error = import_error(module)
        if error:
            yield Finding(PROBLEM, f'{text}, which cannot be imported: {error}', _cure(error))
            continue
        ((dist, number),) = found.items()
        low, high = distributions.DISTRIBUTIONS[module][dist]
        if distributions.is_tested(module, dist, number):
            yield Finding(OK, text)
        else:
            yield Finding(NOTE, text, f'Not tested with mmcroc; tested is >={low},<{high}.')
    sources = {
        dist.startswith('onedl-')
        for found in distributions.installed_distributions().values()
        for dist in found
    }
    if len(sources) > 1:
        yield Finding(
            PROBLEM,
            'some mm packages are of OneDL, some the original ones',
            'They are released to go together: take all four from one source.',
        )


def _cure(error):
    """What to do about an mm package that cannot be imported."""
    if 'ftfy' in error or 'regex' in error:
        return 'MMSegmentation needs it and does not say so: pip install ftfy regex'
    if 'pkg_resources' in error:
        return 'The original MMEngine needs an older setuptools: pip install "setuptools<82"'
    if 'numpy' in error.lower():
        return 'The original mm packages need "numpy<2" and "opencv-python<4.12", OneDL\'s numpy 2.'
    if 'libGL' in error:
        return (
            'OpenCV wants a display library: pip install opencv-python-headless, or the libGL '
            'package of your system.'
        )
    return 'Reinstall it: pip install --force-reinstall --no-deps NAME; see Troubleshooting.'


def check_mmcv_ops():
    """mmcv's compiled operators."""
    found = distributions.installed_distributions()['mmcv']
    if not found or import_error('mmcv'):
        return  # said above
    error = import_error('mmcv._ext')
    if not error:
        yield Finding(OK, 'mmcv has its compiled operators')
    elif 'mmcv' in found and is_there('mmseg'):
        yield Finding(
            PROBLEM,
            f'mmcv is without its compiled operators ({error})',
            'The original MMSegmentation imports them. Build mmcv where a compiler is: pip install '
            '"setuptools<82" ninja, then MMCV_WITH_OPS=1 pip install --no-build-isolation '
            '"mmcv>=2.1,<2.2" (up to torch 2.13); or take the OneDL packages.',
        )
    else:
        yield Finding(
            NOTE,
            'mmcv is without compiled operators',
            'mmcroc, MMPretrain and most of MMSegmentation need none. Models that do (deformable '
            'attention, CARAFE, PSA, point sampling) say so when they are built.',
        )


def check_extras():
    """What optional packages are there, and what each is for."""
    for extra, (use, modules) in EXTRAS.items():
        missing = [module for module in modules if not is_there(module)]
        if missing:
            yield Finding(
                NOTE,
                f'extra {extra}: {", ".join(missing)} missing',
                f'For {use}: pip install -e ".[{extra}]"',
            )
        else:
            yield Finding(OK, f'extra {extra}: {use}')
    for module, backend in LOGGERS.items():
        if is_there(module):
            yield Finding(OK, f'{module}: for visualizer.vis_backends type={backend}')
