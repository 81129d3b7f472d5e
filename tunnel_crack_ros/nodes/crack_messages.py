# SPDX-License-Identifier: Apache-2.0
"""Cracks as messages, there and back, and as markers in space.

Apart from `conversions.py`: a node without cracks starts in half the time when it need not import
what measures them.
"""

from __future__ import annotations

from dataclasses import fields
import math

from geometry_msgs.msg import Point
import numpy as np
import numpy.typing as npt
from std_msgs.msg import ColorRGBA, Header
from tunnel_crack_msgs.msg import BoundingBox, CentreLinePoint, CrackArray
from tunnel_crack_msgs.msg import Branch as BranchMsg
from tunnel_crack_msgs.msg import Crack as CrackMsg
from visualization_msgs.msg import Marker, MarkerArray

from tunnel_crack_ros.vision import Crack, CrackKind, Scale, ScaleSource
from tunnel_crack_ros.vision.frame_measures import FrameMeasures
from tunnel_crack_ros.vision.geometry.crack import Branch
from tunnel_crack_ros.vision.odometry_history import Chainage
from tunnel_crack_ros.vision.overlay import label_text
from tunnel_crack_ros.vision.place import Place


def cracks_to_msg(measures: FrameMeasures, header: Header, camera: str, model: str,
                  threshold: float, size: tuple[int, int]) -> CrackArray:
    """Turn the cracks of a frame into a message.

    :param size: height and width of the frame, px.
    """
    scale = measures.scale
    return CrackArray(header=header, camera=camera, frame_width_px=size[1],
                      frame_height_px=size[0], model=model, threshold=threshold,
                      scale_source=int(scale.source), mm_per_px=scale.mm_per_px,
                      mm_per_px_sigma=scale.sigma, scale_note=measures.note,
                      chainage_m=measures.chainage.metres,
                      chainage_sigma_m=measures.chainage.sigma_m, clock_h=measures.clock_h,
                      cracks=[_crack_to_msg(c) for c in measures.cracks])


_MEASURES = ('length_px', 'length_mm', 'length_sigma_mm', 'width_mean_px', 'width_p95_px',
             'width_max_px', 'width_mean_mm', 'width_p95_mm', 'width_max_mm', 'width_sigma_px',
             'width_sigma_mm', 'width_floor_px', 'width_floor_mm', 'area_px', 'area_mm2',
             'orientation', 'tortuosity')     # of the same name in crack and message
_VERTEX = ('x_px', 'y_px', 'width_px', 'width_mm', 'x_m', 'y_m', 'z_m', 'chainage_m', 'arc_m')
_PLACE = tuple(entry.name for entry in fields(Place) if entry.name != 'line_m')


def _crack_to_msg(crack: Crack) -> CrackMsg:
    left, top, width, height = crack.bounding_box
    message = CrackMsg(
        id=crack.id, confidence=crack.confidence,
        bounding_box=BoundingBox(x_px=left, y_px=top, width_px=width, height_px=height),
        kind=int(crack.kind), touches_border=crack.touches_border,
        scale_source=int(crack.scale.source), mm_per_px=crack.scale.mm_per_px,
        mm_per_px_sigma=crack.scale.sigma)
    for name in _MEASURES:
        setattr(message, name, float(getattr(crack, name)))
    for name in _PLACE:
        setattr(message, name, float(getattr(crack.place, name)))
    message.centre_line = _line_to_msg(crack.centre_line, crack.widths_px, crack.widths_mm,
                                       crack.places_m, crack.place.line_m)
    message.branches = [
        BranchMsg(points=_line_to_msg(branch.points, branch.widths_px, branch.widths_mm,
                                      branch.places_m, branch.line_m))
        for branch in crack.branches]
    return message


def _line_to_msg(points: npt.NDArray[np.float32], widths_px: npt.NDArray[np.float32],
                 widths_mm: npt.NDArray[np.float32] | None,
                 places_m: npt.NDArray[np.float32] | None,
                 line_m: npt.NDArray[np.float64] | None) -> list[CentreLinePoint]:
    unknown = np.full((len(points), 1), math.nan)
    line = np.hstack([
        points, widths_px[:, None], unknown if widths_mm is None else widths_mm[:, None],
        np.repeat(unknown, 3, axis=1) if places_m is None else places_m,
        np.repeat(unknown, 2, axis=1) if line_m is None else line_m])
    return [CentreLinePoint(**dict(zip(_VERTEX, vertex))) for vertex in line.tolist()]


def cracks_to_markers(cracks: list[Crack], header: Header, camera: str) -> MarkerArray:
    """Draw the cracks in space, on the lining before the camera.

    Without a scale or a calibration there is no place in space: then only older markers go.
    """
    markers = MarkerArray(markers=[Marker(header=header, ns=camera, action=Marker.DELETEALL)])
    for crack in cracks:
        if crack.places_m is None:
            continue
        places = [Point(x=x, y=y, z=z) for x, y, z in crack.places_m.tolist()]
        distance = float(crack.places_m[:, 2].mean())
        # a hairline at its true width is not seen in RViz
        thickness = max(crack.width_mean_px * crack.mm_per_px / 1000.0, distance / 400.0)
        red = ColorRGBA(r=1.0, a=1.0)
        line = _marker(header, camera, 3 * crack.id, Marker.LINE_STRIP, red)
        line.points, line.scale.x = places if len(places) > 1 else places * 2, thickness
        text = _marker(header, camera, 3 * crack.id + 1, Marker.TEXT_VIEW_FACING,
                       ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0))
        text.text, text.scale.z = label_text(crack), distance / 40.0
        text.pose.position = places[len(places) // 2]
        markers.markers += [line, text]
        of_branches = [point for branch in crack.branches if branch.places_m is not None
                       for pair in zip(branch.places_m.tolist(), branch.places_m.tolist()[1:])
                       for point in pair]
        if of_branches:
            branches = _marker(header, camera, 3 * crack.id + 2, Marker.LINE_LIST, red)
            branches.points = [Point(x=x, y=y, z=z) for x, y, z in of_branches]
            branches.scale.x = thickness
            markers.markers.append(branches)
    return markers


def _marker(header: Header, camera: str, number: int, kind: int, colour: ColorRGBA) -> Marker:
    marker = Marker(header=header, ns=camera, id=number, type=kind, action=Marker.ADD,
                    color=colour)
    marker.pose.orientation.w = 1.0
    return marker


def measures_from_msg(message: CrackArray) -> FrameMeasures:
    """Turn a message back into the cracks of a frame."""
    return FrameMeasures(
        [_crack_from_msg(crack) for crack in message.cracks],
        Scale(message.mm_per_px, message.mm_per_px_sigma, ScaleSource(message.scale_source)),
        message.scale_note, Chainage(message.chainage_m, message.chainage_sigma_m),
        message.clock_h)


def _crack_from_msg(message: CrackMsg) -> Crack:
    box = message.bounding_box
    scale = Scale(message.mm_per_px, message.mm_per_px_sigma, ScaleSource(message.scale_source))
    line = _line_from_msg(message.centre_line, scale.known)
    return Crack(
        id=message.id, confidence=message.confidence,
        bounding_box=(box.x_px, box.y_px, box.width_px, box.height_px),
        centre_line=line.points, widths_px=line.widths_px, kind=CrackKind(message.kind),
        touches_border=message.touches_border, scale=scale, widths_mm=line.widths_mm,
        places_m=line.places_m,
        branches=tuple(_line_from_msg(branch.points, scale.known) for branch in message.branches),
        place=Place(**{name: getattr(message, name) for name in _PLACE}, line_m=line.line_m),
        **{name: getattr(message, name) for name in _MEASURES})


def _line_from_msg(points: list[CentreLinePoint], scaled: bool) -> Branch:
    """Return a line, be it a branch or a centre line.

    :param scaled: whether millimetres are known.
    """
    line = np.array([[getattr(point, name) for name in _VERTEX] for point in points],
                    np.float64).reshape(-1, len(_VERTEX))
    exact, single = line[:, 7:], line[:, :7].astype(np.float32)
    return Branch(single[:, :2], single[:, 2], single[:, 3] if scaled else None,
                  single[:, 4:] if np.isfinite(single[:, 4:]).all() else None,
                  line_m=exact if np.isfinite(exact).all() else None)
