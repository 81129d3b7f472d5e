# SPDX-License-Identifier: Apache-2.0
"""The README's tables say what the nodes, the models and the commands say."""

from dataclasses import fields
from pathlib import Path
import re
import time

from nav_msgs.msg import Odometry
import pytest
import rclpy
from rclpy.action import get_action_server_names_and_types_by_node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Range
from typer.main import get_command

from tunnel_crack_ros.cli import app
from tunnel_crack_ros.nodes.camera_node import CameraParameters
from tunnel_crack_ros.nodes.classifier_node import ClassifierNode, ClassifierParameters
from tunnel_crack_ros.nodes.explainer_node import ExplainerNode, ExplainerParameters
from tunnel_crack_ros.nodes.parameters import default_of, limits_of
from tunnel_crack_ros.nodes.segmenter_node import SegmenterNode, SegmenterParameters
from tunnel_crack_ros.vision.model_card import ModelCard

KINDS = {'classifier': ClassifierNode, 'segmenter': SegmenterNode, 'explainer': ExplainerNode}
REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / 'README.md').read_text(encoding='utf-8')
EVERYWHERE = {'/rosout', '/parameter_events'}


def rows(heading: str, number: int = 0) -> list[list[str]]:
    """Return the cells of the n-th table below a heading, without its two head lines."""
    section = README.split(f'\n## {heading}\n')[1].split('\n## ')[0]
    table = re.findall(r'(?:^\|.*\|\n)+', section, re.MULTILINE)[number]
    return [[cell.strip() for cell in line.strip('|').split(' | ')]
            for line in table.strip().splitlines()[2:]]


def plain(value: object) -> str:
    """Write a default as the README does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value) or "''"


def span(entry) -> str:
    """Write a parameter's range as the README does."""
    limits = limits_of(entry)
    if limits.choices:
        return ', '.join(limits.choices)
    if limits.low is None:
        return ''
    return f'{shortest(limits.low)}..{shortest(limits.high)}'


def shortest(number: float) -> str:
    return str(int(number)) if number == int(number) else f'{number:g}'


COMMON = {entry.name for entry in fields(CameraParameters)}


@pytest.mark.parametrize('number, kind, without', [
    (0, CameraParameters, set()),
    (1, ClassifierParameters, COMMON),
    (2, SegmenterParameters, COMMON),
    (3, ExplainerParameters, COMMON),
])
def test_parameter_tables(number, kind, without):
    declared = [[f'`{e.name}`', f'`{plain(default_of(e))}`', span(e),
                 'yes' if limits_of(e).live else '', limits_of(e).description]
                for e in fields(kind) if e.name not in without]
    assert rows('Parameters', number) == declared


@pytest.fixture(params=['raw', 'compressed'])
def declared_topics(request):
    """Topics and actions of all nodes as the ROS graph has them once all are active."""
    rclpy.init()
    probe = rclpy.create_node('probe')
    # names of their own: the nodes of the other transport linger in the graph
    nodes = [kind(f'{name}_{request.param}', autostart=False, cameras=['eye'],
                  transport=request.param)
             for name, kind in KINDS.items()]
    try:
        # a camera node subscribes where somebody publishes
        frames, end = (Image, '') if request.param == 'raw' else (CompressedImage, '/compressed')
        inputs = {f'eye/image_raw{end}': frames, 'eye/camera_info': CameraInfo,
                  'eye/range': Range, 'eye/depth': Image, 'odometry': Odometry}
        for topic, kind in inputs.items():
            probe.create_publisher(kind, topic, 10)
        for node in nodes:
            assert node.trigger_configure() == node.trigger_activate()
        found = set()
        end_time = time.monotonic() + 10.0
        while time.monotonic() < end_time and len(found) < 20:
            for node in nodes:
                node._match_publishers()
                rclpy.spin_once(node, timeout_sec=0.02)
                name = node.get_name()
                found = {entry for entry in found if entry[0] != name.split('_')[0]} | {
                    (name.split('_')[0], topic, kinds[0], way) for way, listing in (
                        ('out', node.get_publisher_names_and_types_by_node(name, '/')),
                        ('in', node.get_subscriber_names_and_types_by_node(name, '/')),
                        ('action', get_action_server_names_and_types_by_node(node, name, '/')))
                    for topic, kinds in listing
                    if topic not in EVERYWHERE and '/_action/' not in topic
                    and 'transition_event' not in topic}
        yield request.param, found
    finally:
        for node in (*nodes, probe):
            node.destroy_node()
        rclpy.shutdown()


def test_topic_table(declared_topics):
    transport, found = declared_topics
    expected = set()
    for node, topic, kind, way, _ in rows('Topics'):
        kind = kind.strip('`').replace('/', '/action/' if way == 'action' else '/msg/')
        topic = topic.strip('`').replace('<camera>', '/eye').replace(
            '~', f"/{node.strip('`')}_{transport}")
        topic = topic if topic.startswith('/') else f'/{topic}'
        if transport == 'compressed' and topic in ('/eye/image_raw', '/eye/flagged'):
            topic, kind = f'{topic}/compressed', 'sensor_msgs/msg/CompressedImage'
        for name in KINDS if node == 'all' else (node.strip('`'),):
            expected.add((name, topic, kind, way))
    assert found == expected


def test_model_table():
    cards = [ModelCard.read(path) for path in sorted((REPOSITORY / 'models').glob('*.yaml'))]
    assert rows('Models') == [
        [f'`{card.name}`', card.task, f'{card.input_size[0]} x {card.input_size[1]}',
         card.precision, f'{card.threshold:g}'] for card in cards]


def test_command_table():
    command = get_command(app)
    known = {*command.commands} - {'bench'} | {
        f'bench {name}' for name in command.commands['bench'].commands}
    named = {re.match(r'[a-z]+(?:[- ][a-z]+)*', name.strip()).group()
             for row in rows('Commands') for name in re.findall(r'`([^`]+)`', row[0])}
    assert named == known


@pytest.mark.parametrize('page', sorted(
    [REPOSITORY / 'README.md', *(REPOSITORY / 'docs').glob('*.md')]), ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)#]+)', page.read_text(encoding='utf-8')):
        if '://' not in target:
            assert (page.parent / target).exists(), f'{page.name}: {target}'
