# SPDX-License-Identifier: Apache-2.0
"""Where the models lie: turn a model's name or path into its card's path."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = 'tunnel_crack_ros'
CLASSIFIER = 'efficientnet_lite0_classifier'
SEGMENTER = 'deeplabv3plus_efficientnet_lite0_segmenter'
ENVIRONMENT = 'TUNNEL_CRACK_MODELS'


class ModelNotFound(FileNotFoundError):
    """No model of that name or path."""


def model_folders() -> list[Path]:
    """Return the folders that hold models, first choice first.

    These are the one named by the environment variable TUNNEL_CRACK_MODELS, the checkout's
    `models/` and the installed `share/tunnel_crack_ros/models`, as far as they exist.
    """
    named = os.environ.get(ENVIRONMENT)
    candidates = [Path(named)] if named else []
    for folder in Path(__file__).resolve().parents:
        if (folder / 'package.xml').is_file():
            candidates.append(folder / 'models')
        candidates.append(folder / 'share' / PACKAGE / 'models')
    return [folder for folder in candidates if folder.is_dir()]


def find_card(name: str) -> Path:
    """Return the path of a model's card.

    :param name: a path to an .onnx or .yaml file, or the plain name of a model.
    :raises ModelNotFound: there is none; says where it looked and what is there.
    """
    path = Path(name).expanduser()
    if path.suffix in ('.onnx', '.yaml', '.yml'):
        if not path.exists():
            raise ModelNotFound(f'{path}: no such model file')
        return path.with_suffix('.yaml') if path.suffix == '.onnx' else path
    folders = model_folders()
    for folder in folders:
        if (folder / f'{name}.yaml').is_file():
            return folder / f'{name}.yaml'
    there = sorted({card.stem for folder in folders for card in folder.glob('*.yaml')})
    raise ModelNotFound(f"no model '{name}' in {', '.join(map(str, folders)) or 'any folder'}; "
                        f"there: {', '.join(there) or 'none'}")
