# SPDX-License-Identifier: Apache-2.0
"""Links between the pages lead somewhere: to a file that is there, and to a heading in it."""

from pathlib import Path
import re

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([*REPOSITORY.glob('*.md'), *REPOSITORY.glob('docs/*.md')])
CODE = re.compile(r'^```.*?^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\((?!https?:)([^)\s]+)\)')


def prose(page: Path) -> str:
    """Return a page's text without its blocks of code."""
    return CODE.sub('', page.read_text(encoding='utf-8'))


def anchors(page: Path) -> set[str]:
    """Name a page's headings as GitHub does."""
    headings = re.findall(r'^#+ (.+)$', prose(page), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(prose(page)):
        name, _, anchor = link.partition('#')
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_pages_have_links_at_all():
    assert sum(len(LINK.findall(prose(page))) for page in PAGES) > 50
