"""Package metadata. Configs and tools travel inside the package as ``mmcroc/.mim``."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
TRAVELS_AS_MIM = ('configs', 'tools', 'model-index.yml')

ONEDL = [
    'onedl-mmengine>=0.10.12',
    'onedl-mmcv>=2.3.6',
    'onedl-mmpretrain>=1.3.6',
    'onedl-mmsegmentation>=1.4.2',
]
OPENMMLAB = [
    'mmengine>=0.10.7,<0.11',
    'mmcv>=2.1,<2.2',
    'mmpretrain>=1.2,<1.3',
    'mmsegmentation>=1.2.2,<1.3',
    'torch<2.14',  # MMCV's operators do not compile with newer ones
    # What the original packages need and do not say.
    'numpy<2',
    'opencv-python<4.12',
    'setuptools<82',
    'ftfy',
    'regex',
]
OVERSEGMENTATION = ['higra', 'scikit-image']
# What exports are written and read with.
EXPORT = ['onnx', 'onnxruntime', 'transformers']
# A faster decoder of JPEGs.
FAST = ['simplejpeg']


class BuildWithMim(build_py):
    """Put configs and tools where ``mim`` and ``_base_ = 'mmcroc::...'`` look for them."""

    def run(self):
        super().run()
        mim = (ROOT if self.editable_mode else Path(self.build_lib)) / 'mmcroc' / '.mim'
        mim.mkdir(parents=True, exist_ok=True)
        for name in TRAVELS_AS_MIM:
            target = mim / name
            if target.is_symlink() or target.is_file():
                target.unlink()
            elif target.exists():
                shutil.rmtree(target)
            if self.editable_mode:
                target.symlink_to(os.path.relpath(ROOT / name, mim), (ROOT / name).is_dir())
            elif (ROOT / name).is_file():
                shutil.copyfile(ROOT / name, target)
            else:
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns('__pycache__'))


def read_version():
    scope = {}
    exec((ROOT / 'mmcroc' / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name='mmcroc',
    version=read_version(),
    description='Dense self-supervised learning for MMPretrain and MMSegmentation',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, self-supervised learning, semantic segmentation, OpenMMLab',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['mmcroc', 'mmcroc.*']),
    # Lets `pip install -e` put the clone itself on the path: where it is found by a finder instead,
    # a folder that holds a clone called mmcroc hides it.
    package_dir={'': '.'},
    package_data={'': ['*.pyi', '*.json', 'py.typed', 'README.md', '*.zip']},
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.6',
        'torchvision',
        'timm>=1.0.20',
        'lazy_loader',
        'numpy',
        'opencv-python',  # as the mm packages: its headless sister owns the same files
        'packaging',
        'Pillow',
        'prettytable',
        'safetensors',
        'scipy',
        'tqdm',
        'yapf',  # MMEngine's: the layout of configs
    ],
    extras_require={
        'docs': [
            'mkdocs>=1.6,<2',
            'mkdocs-material>=9.5',
            'mkdocstrings[python]>=0.26',
            'griffelib',
            'ruff>=0.6',  # lays out long signatures
            'latex2mathml',
            'markdown',
        ],
        'onedl': ONEDL,
        'openmmlab': OPENMMLAB,
        'oversegmentation': OVERSEGMENTATION,
        'export': EXPORT,
        'fast': FAST,
        'tests': [
            'pytest>=7',
            'pytest-xdist>=3.2',
            'coverage>=7.10',
            'mypy',
            'ruff>=0.6',
            'scikit-learn',
            'hypothesis',
            *OVERSEGMENTATION,
            *EXPORT,
            *FAST,
        ],
    },
    entry_points={'console_scripts': ['mmcroc = mmcroc.__main__:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
