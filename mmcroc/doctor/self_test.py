"""Whether mmcroc itself works in this environment."""

import importlib
import tempfile
import warnings
from pathlib import Path

from mmcroc.doctor.finding import OK, PROBLEM, Finding
from mmcroc.doctor.packages import import_error

INHERITED = (
    'mmseg::_base_/models/fcn_r50-d8.py',
    'mmcroc::croc_vit-s_coco.py',
    'mmcroc::eval/clustering-leopart_voc.py',
)


def check_mmcroc():
    """mmcroc and its accommodation of the mm packages."""
    mmcroc = importlib.import_module('mmcroc')
    text = f'mmcroc {mmcroc.__version__} in {Path(mmcroc.__file__).parent}'
    error = import_error('mmcroc.compat')
    if error:
        yield Finding(PROBLEM, f'{text} does not start: {error}', 'See the mm packages above.')
    else:
        yield Finding(OK, text)


def check_registry():
    """``type='mmcroc.CrOC'`` is found from any config."""
    if import_error('mmcroc.compat'):
        return  # said above
    try:
        from mmengine.registry import MODELS

        found = MODELS.get('mmcroc.CrOC')
    except Exception as error:
        text = str(error).splitlines()[0]
        yield Finding(
            PROBLEM,
            f"type='mmcroc.CrOC' cannot be built: {type(error).__name__}: {text}",
            'An mm package or one of its requirements is broken; see the lines above.',
        )
        return
    if found is None:
        yield Finding(
            PROBLEM, "type='mmcroc.CrOC' is not found by MMEngine", 'Reinstall mmcroc and MMEngine.'
        )
    else:
        yield Finding(OK, "type='mmcroc.CrOC' is found from any config")


def check_config_inheritance():
    """``_base_ = 'mmcroc::...'`` and ``'mmseg::...'`` are understood."""
    if import_error('mmcroc.compat'):
        return
    for base in INHERITED:
        try:
            model = read_inherited(base)
        except Exception as error:
            text = str(error).strip().splitlines()[0]
            yield Finding(
                PROBLEM,
                f"_base_ = '{base}' does not work: {type(error).__name__}: {text}",
                'The configs inside the package are missing or not whole: install the package '
                'again.',
            )
        else:
            yield Finding(OK, f"_base_ = '{base}' gives {model}")


def read_inherited(base):
    """The type of the model of a config that inherits from another by name."""
    from mmengine.config import Config

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        path = Path(folder) / 'inherits.py'
        path.write_text(f'_base_ = {base!r}\n')
        return Config.fromfile(path).model.type
