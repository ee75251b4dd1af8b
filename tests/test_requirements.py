"""setup.py declares what mmcroc imports."""

import ast
import sys

from tests.support.paths import ROOT

#: Distributions that are not named as what they bring.
NAMES = dict(cv2='opencv-python', PIL='pillow', skimage='scikit-image', sklearn='scikit-learn')
#: What the extras onedl and openmmlab bring, under two names.
MM_PACKAGES = {'mmengine', 'mmcv', 'mmpretrain', 'mmseg'}
#: Only compared with, where it is there: it cannot be installed everywhere.
COMPARED = {'faiss'}


def imported():
    """Top-level packages that mmcroc and its tools import, with one of the files that do."""
    found = {}
    for folder in ('mmcroc', 'tools'):
        paths = [p for p in (ROOT / folder).rglob('*.py') if '.mim' not in p.parts]
        beside = {path.stem for path in paths} | {'mmcroc'}
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                else:
                    names = [node.module] if isinstance(node, ast.ImportFrom) else []
                for name in {name.split('.')[0] for name in names} - beside:
                    found.setdefault(name, str(path.relative_to(ROOT)))
    return {
        name: path
        for name, path in found.items()
        if name not in sys.stdlib_module_names | MM_PACKAGES | COMPARED
    }


def declared():
    """Names of all distributions that setup.py names."""
    strings = ast.walk(ast.parse((ROOT / 'setup.py').read_text(encoding='utf-8')))
    texts = (node.value for node in strings if isinstance(node, ast.Constant))
    return {str(text).lower().split('>')[0].split('<')[0].split('[')[0] for text in texts}


def test_each_import_is_declared():
    found, known = imported(), declared()
    assert {'torch', 'cv2', 'PIL', 'prettytable', 'lazy_loader'} <= set(found)
    assert not {
        name: path for name, path in found.items() if NAMES.get(name, name).lower() not in known
    }
