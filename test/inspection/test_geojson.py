# SPDX-License-Identifier: Apache-2.0
"""Cracks as GeoJSON: places, units and measures."""

import json
from pathlib import Path

import numpy as np
import pytest

from tunnel_crack_ros.bench.geometry_speed import three_cracks
from tunnel_crack_ros.inspection.frame_record import FrameRecord
from tunnel_crack_ros.inspection.geojson import to_geojson, write_geojson
from tunnel_crack_ros.vision import Crack, measure_cracks, Scale, ScaleSource, Segmentation
from tunnel_crack_ros.vision.frame_measures import FrameMeasures


def _cracks(scale: Scale) -> list[Crack]:
    confidence = three_cracks((512, 384))
    mask = np.where(confidence > 0.3, 255, 0).astype(np.uint8)
    return measure_cracks(Segmentation(confidence, mask, 0.3), scale)


@pytest.mark.parametrize('scale, unit, factor', [
    (Scale(0.5, 0.01, ScaleSource.PARAMETER), 'mm', 0.5), (Scale(), 'px', 1.0)])
def test_lines_are_as_long_as_they_say(tmp_path: Path, scale: Scale, unit: str,
                                       factor: float) -> None:
    """A file read back holds every crack, y up, in the unit it names."""
    cracks = _cracks(scale)
    assert len(cracks) == 3
    record = FrameRecord('left/000001', 'left', (1, 2), 'CRACK', 0.9,
                         measures=FrameMeasures(cracks, scale))
    write_geojson(tmp_path / 'cracks.geojson', [record])
    content = json.loads((tmp_path / 'cracks.geojson').read_text())
    assert content['type'] == 'FeatureCollection'
    for feature, crack in zip(content['features'], cracks, strict=True):
        assert feature['geometry']['type'] == 'LineString'
        places = np.array(feature['geometry']['coordinates'])
        length = np.hypot(*np.diff(places, axis=0).T).sum()
        assert length == pytest.approx(crack.length_px * factor, rel=0.03)
        assert places[:, 1].max() <= 0.0    # rows of an image count downwards
        assert feature['properties']['unit'] == unit
        assert feature['properties']['frame'] == 'left/000001'
        assert feature['properties']['length_px'] == pytest.approx(crack.length_px, abs=1e-3)


def test_a_fork_is_several_lines() -> None:
    """The centre line comes first; all together are as long as the crack."""
    mask = np.zeros((200, 200), np.uint8)
    mask[99:102, 20:180] = mask[40:100, 79:82] = 255
    crack, = measure_cracks(Segmentation((mask / 255).astype(np.float32), mask, 0.5))
    record = FrameRecord('a', 'left', (0, 0), 'CRACK', measures=FrameMeasures([crack]))
    geometry = to_geojson([record])['features'][0]['geometry']
    assert geometry['type'] == 'MultiLineString'
    lines = [np.array(line) for line in geometry['coordinates']]
    assert len(lines) == 2 and np.allclose(lines[0] * (1, -1), crack.centre_line, atol=1e-3)
    total = sum(np.hypot(*np.diff(line, axis=0).T).sum() for line in lines)
    assert total == pytest.approx(crack.length_px, rel=0.03)


def test_no_crack_is_an_empty_collection() -> None:
    """A clean tunnel is a result too."""
    assert to_geojson([FrameRecord('a', 'left', (0, 0), 'NO_CRACK')])['features'] == []
