"""Links and pictures of all documents lead somewhere, and the modules that their commands name exist."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))


@each_page
def test_every_link_and_picture_is_there(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []


def anchors(page):
    """Of its headings, as GitHub makes them: small letters, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_section_that_is_linked_is_there(page):
    links = re.findall(r"\]\(([^)#\s]*\.md)?#([^)]+)\)", page.read_text())
    assert [(path, anchor) for path, anchor in links if anchor not in anchors(page.parent / path if path else page)] == []


@each_page
def test_every_module_of_a_command_is_there(page):
    modules = set(re.findall(r"python -m ((?:stages|benchmarks|experiments|sparsify)[\w.]*)", page.read_text()))
    assert [module for module in sorted(modules) if not module.endswith(".NAME") and find_spec(module) is None] == []
