# SPDX-License-Identifier: Apache-2.0
"""The card beside an ONNX file: what the model is, what made it, how well it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

TASKS = ('classifier', 'segmenter')


class CardError(ValueError):
    """A model card is missing, or does not say what it must."""


@dataclass(frozen=True)
class ModelCard:
    """A model card: the YAML beside the ONNX file; its keys stand in the file's metadata too."""

    name: str
    """Name of the model, and stem of both files."""
    file: str
    """Name of the ONNX file, in the card's folder."""
    sha256: str
    """SHA-256 of the ONNX file, 64 hex digits."""
    task: str
    """`classifier` or `segmenter`."""
    architecture: str
    classes: list[str]
    input_size: tuple[int, int]
    """Width and height the model was made for, px (a segmenter takes any multiple of 32)."""
    threshold: float
    """Probability from which on a frame or pixel is crack, 0..1; chosen on validation data."""
    precision: str
    """How numbers are kept: fp32; int8 (weights and activations); fp16 or int8_weights (weights
    only, computed in fp32)."""
    version: str
    """Version of the project that exported the file."""
    peak: float = 0.0
    """Segmenters: confidence, 0..1, that a piece of the mask must reach somewhere to stay."""
    half_scale: bool = False
    """Segmenters: the network also sees the frame at half its size, for the inside of wide
    cracks (`segmenter.wide_parts`); costs a quarter more time."""
    enlarge: float = 1.0
    """Segmenters: the network also sees the frame enlarged by this factor, 1..4, for hairlines;
    1: it does not."""
    teacher: str = ''
    """Model whose answers and features were learned beside the labels, `name@hash`; what that was
    trained on stands among `training_data`."""
    training_data: list[dict[str, Any]] = field(default_factory=list)
    licences: list[dict[str, Any]] = field(default_factory=list)
    """What the licences of the training data allow, one entry a class of licence."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    taps: dict[str, str] = field(default_factory=dict)
    """Plain name of a layer -> name of its tensor in the graph."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise CardError(f"task is '{self.task}', expected one of {', '.join(TASKS)}")
        if self.classes != ['background', 'crack']:
            raise CardError(f'classes are {self.classes}, expected [background, crack]')
        if not 0.0 <= self.threshold <= 1.0:
            raise CardError(f'threshold is {self.threshold}, expected 0..1')
        if not 0.0 <= self.peak <= 1.0:
            raise CardError(f'peak is {self.peak}, expected 0..1')
        if not isinstance(self.half_scale, bool):
            raise CardError(f'half_scale is {self.half_scale!r}, expected true or false')
        if not 1.0 <= self.enlarge <= 4.0:
            raise CardError(f'enlarge is {self.enlarge}, expected 1..4')
        width, height = self.input_size
        if min(width, height) <= 0 or width % 32 or height % 32:
            raise CardError(f'input_size is {width} x {height}, expected multiples of 32')

    @property
    def identity(self) -> str:
        """Return `name@0123456789ab`: the name and the first 12 digits of the hash."""
        return f'{self.name}@{self.sha256[:12]}'

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card.

        :param path: the YAML file.
        :raises CardError: the file is missing, no YAML, lacks a key, or holds a wrong value.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding='utf-8'))
        except FileNotFoundError:
            raise CardError(f'{path}: no such model card') from None
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise CardError(f'{path}: not a YAML file: {error}') from None
        if not isinstance(values, dict):
            raise CardError(f'{path}: holds no keys, expected a model card')
        try:
            return cls.from_values(values)
        except (CardError, TypeError, ValueError) as error:
            raise CardError(f'{path}: {error}') from None

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> ModelCard:
        """Make a card of plain values, as YAML or `metadata_props` hold them.

        :raises CardError: a key is missing or a value does not fit.
        """
        known = {f.name for f in fields(cls)}
        needed = known - {'peak', 'half_scale', 'enlarge', 'teacher', 'training_data', 'licences',
                          'metrics', 'taps'}
        missing = sorted(needed - values.keys())
        if missing:
            raise CardError(f"model card lacks {', '.join(missing)}")
        taken = {key: value for key, value in values.items() if key in known}
        size = taken['input_size']
        if not isinstance(size, (list, tuple)) or len(size) != 2:
            raise CardError(f'input_size is {size!r}, expected [width, height]')
        taken['input_size'] = (int(size[0]), int(size[1]))
        taps = taken.get('taps', {})
        if not isinstance(taps, dict) or not all(
                isinstance(word, str) for pair in taps.items() for word in pair):
            raise CardError(f'taps are {taps!r}, expected layer: tensor')
        for key in ('training_data', 'licences', 'metrics'):
            entries = taken.get(key, [])
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                raise CardError(f'{key} are {entries!r}, expected a list of keys and values')
        for metric in taken.get('metrics', []):
            if type(metric.get('value')) not in (int, float):
                raise CardError(f"metric {metric.get('name')} has the value "
                                f"{metric.get('value')!r}, expected a number")
        taken['threshold'] = float(taken['threshold'])
        taken['peak'] = float(taken.get('peak', 0.0))
        taken['enlarge'] = float(taken.get('enlarge', 1.0))
        for key in ('name', 'file', 'sha256', 'architecture', 'version', 'precision', 'teacher'):
            taken[key] = str(taken.get(key, ''))
        if Path(taken['file']).name != taken['file'] or not taken['file']:
            raise CardError(f"file is {taken['file']!r}, expected a file's name")
        taken['sha256'] = taken['sha256'].lower()
        return cls(**taken)

    def write(self, path: Path) -> None:
        """Write the card as YAML, keys in the order of this class."""
        values = asdict(self) | {'input_size': list(self.input_size)}
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True),
                        encoding='utf-8')

    def metadata_props(self) -> dict[str, str]:
        """Return what the ONNX file's `metadata_props` hold: all but `sha256` and `file`.

        Structured values are JSON.
        """
        values = asdict(self) | {'input_size': list(self.input_size)}
        return {key: value if isinstance(value, str) else json.dumps(value)
                for key, value in values.items() if key not in ('sha256', 'file')}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
