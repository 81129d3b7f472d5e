# SPDX-License-Identifier: Apache-2.0
"""All models of the folders, each loaded and held against its card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tunnel_crack_ros.vision.model import Model, ModelError
from tunnel_crack_ros.vision.model_card import CardError, ModelCard
from tunnel_crack_ros.vision.model_folder import (
    find_card,
    model_folders,
    ModelNotFound,
    SETS,
    sets_of,
)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """What its card says of a model, and whether the file agrees."""

    name: str
    file: str
    state: str                  # 'ok', or what is wrong
    sets: list[str]             # that it belongs to
    task: str = ''
    architecture: str = ''
    precision: str = ''
    megabytes: float = 0.0      # of the ONNX file
    threshold: float = 0.0
    provider: str = ''          # that runs it on this machine; '' when it does not run
    sha256: str = ''
    metrics: list[dict[str, Any]] = field(default_factory=list)
    licences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether file, card and contract fit together."""
        return self.state == 'ok'

    @property
    def headline(self) -> str:
        """Return the first metric of the card: `iou 0.425 (val, 254)`; '' without one."""
        if not self.metrics:
            return ''
        first = self.metrics[0]
        return (f"{first.get('name')} {first.get('value'):.3f} "
                f"({first.get('split')}, {first.get('images')})")

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def list_models() -> list[ListedModel]:
    """Load every model of `model_folders` once, by the names of the cards."""
    cards = sorted({card for folder in model_folders() for card in folder.glob('*.yaml')})
    return [_look_at(path) for path in cards]


def missing_of_sets() -> dict[str, list[str]]:
    """Return the sets that lack a model, with the names of the models they lack."""
    missing: dict[str, list[str]] = {}
    for each, models in SETS.items():
        for name in (models.classifier, models.segmenter):
            try:
                find_card(name)
            except ModelNotFound:
                missing.setdefault(each, []).append(name)
    return missing


def _look_at(path: Path) -> ListedModel:
    known: dict[str, Any] = {'name': path.stem, 'file': str(path.with_suffix('.onnx')),
                             'sets': sets_of(path.stem)}
    try:
        card = ModelCard.read(path)
        file = path.with_name(card.file)
        known |= {'file': str(file), 'task': card.task, 'architecture': card.architecture,
                  'precision': card.precision, 'threshold': card.threshold,
                  'sha256': card.sha256, 'metrics': card.metrics, 'licences': card.licences}
        if file.is_file():
            known['megabytes'] = round(file.stat().st_size / 1e6, 1)
        return ListedModel(**known, state='ok',
                           provider=Model.load(path, with_taps=True).provider)
    except (CardError, ModelError) as error:
        return ListedModel(**known, state=str(error))
