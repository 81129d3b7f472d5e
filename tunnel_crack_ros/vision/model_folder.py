# SPDX-License-Identifier: Apache-2.0
"""Where the models lie and which go together: from a name, path or set to a card's path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path

PACKAGE = 'tunnel_crack_ros'
ENVIRONMENT = 'TUNNEL_CRACK_MODELS'


@dataclass(frozen=True, slots=True)
class ModelSet:
    """A classifier and a segmenter that are used together, by name."""

    classifier: str
    segmenter: str


SETS: Mapping[str, ModelSet] = {
    'edge': ModelSet('efficientnet_lite0_classifier',
                     'unet_efficientnet_lite0_segmenter'),
    'paper': ModelSet('densenet169_classifier', 'deeplabv3plus_resnet101_segmenter'),
}
"""Light networks, and the paper's. The first set is the default."""

DEFAULT_SET = next(iter(SETS))
CLASSIFIER, SEGMENTER = SETS[DEFAULT_SET].classifier, SETS[DEFAULT_SET].segmenter

_BUILDS = ('', '_int8', '_fp16', '_int8_weights')   # suffixes of files, in the order looked for


class ModelNotFound(FileNotFoundError):
    """No model of that name or path."""


def model_set(name: str) -> ModelSet:
    """Return a set of models.

    :param name: a key of SETS; empty: the default.
    :raises ModelNotFound: there is no such set.
    """
    if name and name not in SETS:
        raise ModelNotFound(f"no set of models '{name}'; expected {' or '.join(SETS)}")
    return SETS[name or DEFAULT_SET]


def model_folders() -> list[Path]:
    """Return the folders that hold models, first choice first.

    These are the one named by the environment variable TUNNEL_CRACK_MODELS, the checkout's
    `models/` and the installed `share/tunnel_crack_ros/models`, as far as they exist.
    """
    named = os.environ.get(ENVIRONMENT)
    candidates = [Path(os.path.expanduser(named))] if named else []
    for folder in Path(__file__).resolve().parents:
        if (folder / 'package.xml').is_file():
            candidates.append(folder / 'models')
        candidates.append(folder / 'share' / PACKAGE / 'models')
    return [folder for folder in candidates if folder.is_dir()]


def find_card(name: str, first: Path | None = None) -> Path:
    """Return the path of a model's card.

    :param name: a path to an .onnx or .yaml file, or the plain name of a model. Where no file
        has the name itself, a smaller build of it will do: `<name>_int8`, `<name>_fp16`,
        `<name>_int8_weights`, in this order.
    :param first: a folder to look in before those of `model_folders`.
    :raises ModelNotFound: there is none; says where it looked, what is there and how to get it.
    """
    path = Path(name).expanduser()
    if path.suffix in ('.onnx', '.yaml', '.yml'):
        if not path.exists():
            raise ModelNotFound(f'{path}: no such model file')
        return path.with_suffix('.yaml') if path.suffix == '.onnx' else path
    folders = ([first] if first else []) + model_folders()
    for folder in folders:
        for build in _BUILDS:
            if (folder / f'{name}{build}.yaml').is_file():
                return folder / f'{name}{build}.yaml'
    there = sorted({card.stem for folder in folders for card in folder.glob('*.yaml')})
    raise ModelNotFound(f"no model '{name}' in {', '.join(map(str, folders)) or 'any folder'}; "
                        f"there: {', '.join(there) or 'none'}{_how_to_get(name)}")


def sets_of(name: str) -> list[str]:
    """Return the names of the sets that a model, or a smaller build of it, belongs to."""
    return [each for each, models in SETS.items()
            if name in {f'{network}{build}' for network in (models.classifier, models.segmenter)
                        for build in _BUILDS}]


def _how_to_get(name: str) -> str:
    of = sets_of(name)
    if not of:
        return ''
    return (f". The set {' and '.join(of)} needs {name}.onnx and {name}.yaml (or _int8, _fp16): "
            f'put them there, or make them with `tunnel_crack train {name}` and '
            '`tunnel_crack export`')
