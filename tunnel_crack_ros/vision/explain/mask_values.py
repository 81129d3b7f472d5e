# SPDX-License-Identifier: Apache-2.0
"""Values and means of a layer's masks, without making the masks.

A mask is its channel enlarged, less its least value, over its span. Enlarging is linear and works
on rows and columns apart, so that a mean of a mask is a mean of the channel with other weights,
and a value is four of the channel's.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class MaskValues:
    """The masks of some channels, read where they are needed."""

    def __init__(self, activations: Array, size: tuple[int, int]) -> None:
        """Take channels.

        :param activations: A, float32, C x h x w.
        :param size: height and width of the picture, px.
        """
        self._activations = activations
        self._rows = _enlarging(activations.shape[1], size[0])
        self._columns = _enlarging(activations.shape[2], size[1])
        self._is_enlarged = activations.shape[1:] != size
        self._low, high = self._extremes()
        span = high - self._low
        self._scale = np.divide(1.0, span, out=np.zeros_like(span), where=span > 0)

    def _extremes(self) -> tuple[Array, Array]:
        """Return the least and the largest value of every enlarged channel."""
        values = self._activations
        if self._is_enlarged:   # they lie beside the middle of a pixel of the channel
            values = np.asarray(sum(values[:, row] * part[:, None] for row, part in
                                    _corners(self._rows, _middles(self._rows))))
            values = np.asarray(sum(values[:, :, column] * part for column, part in
                                    _corners(self._columns, _middles(self._columns))))
        return values.min((1, 2)), values.max((1, 2))

    def at(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp],
           channels: slice) -> Array:
        """Return some masks at some pixels, 0..1, float32, C x n.

        :param rows: of the pixels, n; columns alike.
        :param channels: which masks.
        """
        total: Array = np.zeros((1, 1), np.float32)
        for row, part in _corners(self._rows, rows):
            for column, other in _corners(self._columns, columns):
                total = total + self._activations[channels, row, column] * (part * other)
        return (total - self._low[channels, None]) * self._scale[channels, None]

    def means(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the weighted mean of every mask.

        :param weights: of the picture's pixels, H x W, sum 1.
        """
        of_channel = self._rows.T @ weights @ self._columns if self._is_enlarged else weights
        means = np.tensordot(self._activations, of_channel, 2)
        result: npt.NDArray[np.float64] = (means - self._low) * self._scale
        return result


def _enlarging(length: int, enlarged: int) -> Array:
    """Return the matrix that enlarges a row of pixels as `picture.enlarged` does."""
    one = np.eye(length, dtype=np.float32)
    if length == enlarged:
        return one
    return np.asarray(cv2.resize(one, (length, enlarged), interpolation=cv2.INTER_LINEAR),
                      np.float32)


def _middles(enlarging: Array) -> npt.NDArray[np.intp]:
    """Return the rows that are nearest to each pixel's middle, from both sides."""
    height = len(enlarging)
    ratio = height / enlarging.shape[1]
    middles = (np.arange(enlarging.shape[1]) + 0.5) * ratio - 0.5
    near = np.concatenate([np.floor(middles), np.ceil(middles)]).astype(np.intp)
    return np.unique(np.clip(near, 0, height - 1))


def _corners(enlarging: Array, places: npt.NDArray[np.intp],
             ) -> list[tuple[npt.NDArray[np.intp], Array]]:
    """Return the two pixels that each place lies between, and their shares."""
    chosen = enlarging[places]
    first = (chosen > 0).argmax(1)
    last = chosen.shape[1] - 1 - (chosen[:, ::-1] > 0).argmax(1)
    one = np.arange(len(places))
    return [(first, chosen[one, first]), (last, chosen[one, last] * (last > first))]
