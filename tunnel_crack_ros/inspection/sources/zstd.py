# SPDX-License-Identifier: Apache-2.0
"""Python's own zstd, before 3.14 the one that rosbags brings with it."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression.zstd import decompress, ZstdError, ZstdFile
else:
    from backports.zstd import decompress, ZstdError, ZstdFile

__all__ = ['ZstdError', 'ZstdFile', 'decompress']
