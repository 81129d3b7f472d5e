# SPDX-License-Identifier: Apache-2.0
"""Write numbers as JSON that every reader takes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write JSON; the folder is made, and what is no finite number becomes null.

    :param content: of dicts, lists, texts, numbers and None.
    :raises OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json_text(content) + '\n', encoding='utf-8')


def json_text(content: Any) -> str:
    """Return JSON; what is no finite number becomes null.

    :param content: of dicts, lists, texts, numbers and None.
    """
    return json.dumps(_finite(content), indent=1, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
