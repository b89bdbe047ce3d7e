import base64
import doctest
import hashlib
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byheart.report import html as module
from byheart.report.blocks import Figure, Page, Prose, Section, image_source
from byheart.report.html import FOLDER, HEAD, SCRIPTS, STYLES, data, html

HOSTILE = "</script><script>alert(1)</script><!-- &amp; \u2028\u2029 {{ x }} $data ${policy} \\ \"'"


def page(text: str) -> Page:
    return Page("Notes", "A note.", True, [Section("All", [Prose(text)])])


def inside(file: bytes, element: str) -> str:
    [found] = re.findall(rf"<{element}>(.*?)</{element}>", file.decode(), re.DOTALL)
    return found


@given(st.text(st.characters(exclude_categories=()), max_size=40))
@example(HOSTILE)
@example("<")
@example(">")
@example("&")
def test_any_text_travels_whole_and_without_a_character_of_markup(text):
    sent = data(page(text))
    assert sent.isascii()
    assert not set("<>&") & set(sent)
    assert json.loads(sent)["sections"][0]["blocks"] == [{"kind": "prose", "text": text}]


def test_hostile_text_leaves_the_rest_of_the_file_as_it_is():
    harmless, hostile = html(page("x")).decode(), html(page(HOSTILE)).decode()
    sent = data(page(HOSTILE))
    assert hostile.replace(sent, data(page("x"))) == harmless


def test_the_policy_allows_the_pages_own_script_and_style_alone():
    file = html(page(HOSTILE))
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', file.decode())
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for what, element in (("script-src", "script"), ("style-src", "style")):
        digest = hashlib.sha256(inside(file, element).encode()).digest()
        assert rules[what] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["require-trusted-types-for"] == "'script'"


def test_equal_pages_are_equal_files():
    assert html(page("x")) == html(page("x"))
    assert html(page("x")) != html(page("y"))


def test_a_page_begins_with_what_marks_it_as_one():
    assert html(page("x")).startswith(HEAD.encode())


def test_every_file_of_the_page_is_in_it():
    there = {path.name for path in FOLDER.iterdir()}
    assert there == {*STYLES, *SCRIPTS, "page.html"}


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES, "page.html"])
def test_the_pages_code_turns_no_text_into_markup_and_names_no_address(name):
    code = (FOLDER / name).read_text(encoding="utf-8")
    forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "fetch(",
        "@import",
        "import(",
    ]
    assert [word for word in forbidden if word in code] == []
    assert set(re.findall(r"https?://[^\"']+", code)) <= {"http://www.w3.org/2000/svg"}
    assert len(code.splitlines()) <= 300


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="cannot show a set"):
        data(Page("x", "x", True, {1}))  # type: ignore[arg-type] - on purpose
    with pytest.raises(ValueError, match="JSON"):
        data(Page("x", "x", True, [float("nan")]))  # type: ignore[list-item] - on purpose


def test_a_picture_holds_itself(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    source = image_source(path)
    assert source.startswith("data:image/svg+xml;base64,")
    assert base64.b64decode(source.split(",")[1]) == path.read_bytes()
    assert source in html(Page("x", "x", True, [Section("x", [Figure("x", source, "x")])])).decode()


def test_another_kind_of_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"unknown kind of picture '.gif'.*allowed: .svg, .png"):
        image_source(tmp_path / "a.gif")


def test_the_example_in_the_module():
    assert doctest.testmod(module).failed == 0
