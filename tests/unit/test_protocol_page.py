"""docs/protocol.md is the whole protocol: every section, trap and vector that anything cites stands there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/protocol.md").read_text()
SECTIONS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", PAGE, re.MULTILINE))
TRAPS = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.partition("## 9.")[2].partition("## 10.")[0], re.M)}
VECTORS = {
    group: {int(number) for number in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)}
    for group, rows in re.findall(r"^\| \*\*([A-D])\*\* \|.*\n((?:\| \d.*\n)+)", PAGE, re.MULTILINE)
}

LIST = r"(\d+(?:\.\d+)?(?:(?:, and |, | and | to | or |-)\d+(?:\.\d+)?)*)"
CITED_SECTIONS = re.compile(rf"\b(?:protocol(?: page)?,?|[Pp]rotocol's|[Ss]ections?|protocol sections?)\s+{LIST}")
CITED_TRAPS = re.compile(rf"\btraps? {LIST}", re.IGNORECASE)
CITED_VECTORS = re.compile(
    r"\b[Vv]ectors?(?: of groups?)?[- ]((?:[A-D] ?\d+|\d+|, and |, | and | to |[A-D])+)", re.IGNORECASE
)


def texts() -> Iterator[tuple[str, str]]:
    """Everything of ours that may cite the protocol, by file; comments and docstrings flow on over line ends."""
    for folder, pattern in (("fastworker", "*.py"), ("tests", "*.py"), ("docs", "*.md"), (".", "README.md")):
        for path in sorted((ROOT / folder).rglob(pattern) if folder != "." else (ROOT).glob(pattern)):
            if path.name != Path(__file__).name:
                text = re.sub(r"\n\s*#? ?", " ", path.read_text())
                yield str(path.relative_to(ROOT)), text


def numbers(found: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", found)


def test_the_page_is_complete():
    """Twelve chapters' worth of sections, the traps without a gap, and 54 vectors in four groups."""
    assert {"1.1", "2.7", "3.2", "4.6", "5.5", "6.2", "8.2", "11"} <= SECTIONS
    assert set(range(1, max(TRAPS) + 1)) == TRAPS
    assert max(TRAPS) >= 32
    assert sorted(number for group in VECTORS.values() for number in group) == list(range(1, 55))


def test_every_section_that_is_cited_exists():
    """In code, tests, messages and documentation."""
    missing = [
        (path, found[0])
        for path, text in texts()
        if path != "docs/protocol.md"
        for found in CITED_SECTIONS.finditer(text)
        for number in numbers(found[1])
        if number not in SECTIONS and "protocol" in text[max(found.start() - 200, 0) : found.end() + 200].lower()
    ]
    assert missing == []


def test_every_section_that_the_page_itself_cites_exists():
    """Within the page a section is named by its number alone."""
    cited = re.findall(r"\((?:see )?(\d\.\d)\)|\bsee (\d\.\d)\b|\bsection (\d+(?:\.\d)?)\b", PAGE)
    assert {number for found in cited for number in found if number} <= SECTIONS


def test_every_trap_that_is_cited_exists():
    """By its number in section 9."""
    missing = [
        (path, found[0])
        for path, text in texts()
        for found in CITED_TRAPS.finditer(text)
        for number in numbers(found[1])
        if int(float(number)) not in TRAPS
    ]
    assert missing == []


MODEL = ("tests/devhost/", "tests/unit/test_hostrules_", "tests/unit/test_routing.py")
VECTOR_RANGE = re.compile(r"([A-D])? ?(\d+)(?:(?: to |-)([A-D])? ?(\d+))?")


def vectors_of(cited: str) -> set[int]:
    """The numbers of `C 37 to 40, 43` or `A1 to A7`."""
    return {
        number
        for _, first, _, last in VECTOR_RANGE.findall(cited)
        for number in range(int(first), int(last or first) + 1)
    }


def test_every_vector_is_run_against_the_one_model():
    """Each of the 54 has its test of hostrules/, of the local host that runs by them, or of their routes."""
    run = {
        number
        for path, text in texts()
        if path.startswith(MODEL)
        for found in CITED_VECTORS.finditer(text)
        for number in vectors_of(found[1])
    }
    assert set(range(1, 55)) - run == set()


def test_every_vector_that_is_cited_exists():
    """By its group and number in section 10."""
    missing = []
    for path, text in texts():
        for found in CITED_VECTORS.finditer(text):
            group = ""
            for letter, number in re.findall(r"(\b[A-D])? ?(\d+)", found[1]):
                group = letter or group
                if group and int(number) not in VECTORS[group]:
                    missing.append((path, found[0]))
    assert missing == []


def test_the_readers_of_citations_find_some():
    """A test that finds nothing proves nothing."""
    found = [text for _, text in texts()]
    assert sum(len(CITED_SECTIONS.findall(text)) for text in found) > 150
    assert sum(len(CITED_TRAPS.findall(text)) for text in found) > 20
    assert sum(len(CITED_VECTORS.findall(text)) for text in found) > 40


@pytest.mark.parametrize("group", ["A", "B", "C", "D"])
def test_every_vector_is_tested(group):
    """Each one is named by a test."""
    tests = "\n".join(text for path, text in texts() if path.startswith("tests/"))
    named = {
        int(number)
        for first, last in re.findall(rf"\b{group} ?(\d+)(?: to {group}? ?(\d+))?", tests)
        for number in range(int(first), int(last or first) + 1)
    }
    for found in re.findall(rf"[Vv]ectors? {group} ((?:\d+|, | and | to )+)", tests):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", found):
            named |= set(range(int(first), int(last or first) + 1))
    assert VECTORS[group] - named == set()
