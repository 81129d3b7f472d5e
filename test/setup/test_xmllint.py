# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ['package.xml', 'tunnel_crack_msgs/package.xml']


@pytest.mark.linter
@pytest.mark.xmllint
def test_xml_files_follow_their_schemas(monkeypatch):
    ament_xmllint = pytest.importorskip(
        'ament_xmllint.main', reason='ament_xmllint is not installed')
    monkeypatch.chdir(REPOSITORY)
    assert ament_xmllint.main(argv=[*PACKAGES, 'config']) == 0, 'see the list of errors above'


@pytest.mark.parametrize('path', [*PACKAGES, *(
    str(path.relative_to(REPOSITORY)) for path in sorted((REPOSITORY / 'config').glob('*.xml')))])
def test_xml_files_are_well_formed(path):
    ElementTree.parse(REPOSITORY / path)


@pytest.mark.parametrize('path', PACKAGES)
def test_package_files_say_what_ros_needs(path):
    catkin_pkg = pytest.importorskip('catkin_pkg.package', reason='catkin_pkg is not installed')
    catkin_pkg.parse_package(str(REPOSITORY / path)).validate()
