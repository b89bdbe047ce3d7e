"""A bundle's page in a real browser. That nothing goes wrong and nothing is asked for, `opened` holds in every test."""

from __future__ import annotations

import pytest

from byheart.report.blocks import Page
from byheart.report.bundle_page import bundle_page

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '<img src=x onerror="alert(3)">',
    "{{ 7 * 7 }}${alert(4)}",
    "\\u003cb\\u003e \\",
    "\u2028\u2029",
    "\u202egnirts",
    "javascript:alert(5)",
    "]]><!--",
]
CONTRAST = """
() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => (v <= 10 ? v / 3294 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const rgb = channels(getComputedStyle(at).backgroundColor);
      if (rgb.length === 3) return rgb;
    }
    throw new Error("no ground");
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const unseen = "script, noscript, [hidden], button:disabled, .picture";
    if (!own || element.closest(unseen) || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = channels(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName} ${element.getAttribute("class")} ${element.textContent} ${ratio}`);
  }
  return poor;
}
"""

COLOURS = """
() => {
  const canvas = document.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let at = 0; at < data.length; at += 4) found.add(data.slice(at, at + 3).join());
  return found.size;
}
"""


@pytest.fixture
def mixed(pages) -> Page:
    """A certified record, a recited and a failed one."""
    records = [
        pages.measured(["42", "4", pages.end], [0.999, 0.95, 0.99]),
        pages.measured(["17", " x", pages.end], [0.8, 0.41, 0.6], rival="qu"),
        pages.measured(["66", "9", pages.end], [0.99, 0.12, 0.97], failure=1, rival="8", got="\t8"),
    ]
    texts = [pages.text("One?", "42", "4"), pages.text("Two?", "17", " x"), pages.text("Three?", "66", "9")]
    return bundle_page(pages.files_of(*records), texts)


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


def test_the_page_opens_and_tells_what_came_out(opened, mixed):
    tab = opened(mixed).tab
    assert tab.title() == "vault – byheart"
    assert tab.inner_text("h1") == "vault"
    assert tab.inner_text("#sentence").startswith("1 of 3 records certified, 1 recited, 1 failed; lowest p 0.12")
    titles = ["Summary", "Answers", "Probabilities", "Token dynamics", "Learning", "How it was made"]
    assert tab.locator("h2").all_inner_texts() == titles
    assert tab.locator("nav a").all_inner_texts() == titles
    assert tab.locator("main section:not([aria-labelledby])").count() == 0
    assert tab.locator(".row .answer").all_inner_texts() == ["424∎", "17 x∎", "669∎"]
    assert tab.locator(".remark").all_inner_texts() == ["First differs at token 2 of 3: expected “9”, gave “⇥8”."]


def test_a_token_tells_of_itself_under_the_mouse(opened, mixed):
    tab = opened(mixed).tab
    tab.hover(".row:nth-child(2) .token:nth-child(2)")
    assert lines(tab.inner_text("#tip")) == [
        "“·x”", "token", "2 of 3", "p", "0.410, stubborn", "margin", "+1.5 nats", "rank", "1", "next", "“qu”",
    ]  # fmt: skip
    tab.hover(".row:nth-child(3) .token:nth-child(2)")
    tab.wait_for_function(
        "text => document.querySelector('#tip').innerText.includes(text)", arg="beaten by\n“8”", timeout=10_000
    )
    tab.wait_for_function(
        "text => document.querySelector('#tip').innerText.includes(text)",
        arg="first differs here: gave “⇥8”",
        timeout=10_000,
    )
    tab.keyboard.press("Escape")
    assert not tab.is_visible("#tip")


def test_tokens_look_as_probable_as_they_are(opened, mixed):
    tab = opened(mixed).tab
    looks = tab.locator(".row .token").evaluate_all("all => all.map((each) => each.className.match(/level-./)[0])")
    assert looks == [f"level-{level}" for level in (0, 1, 1, 2, 4, 3, 1, 5, 1)]
    shades = tab.locator(".levels .token").evaluate_all(
        "all => all.map((each) => getComputedStyle(each).backgroundColor)"
    )
    assert len(set(shades)) == len(shades)


def test_every_token_is_reached_by_keyboard(opened, mixed):
    tab = opened(mixed).tab
    tab.focus("input[type=search]")
    tab.keyboard.press("Tab")

    def focused() -> tuple[str, str]:
        here = tab.locator(":focus")
        assert here.get_attribute("aria-describedby") == "tip"
        return here.get_attribute("data-record"), here.get_attribute("data-token")

    assert focused() == ("0", "0")
    visited = []
    for key in ("ArrowRight", "ArrowDown", "End", "ArrowRight", "ArrowLeft", "Home", "ArrowUp"):
        tab.keyboard.press(key)
        visited.append("".join(focused()))
    assert visited == ["01", "11", "12", "20", "12", "10", "00"]
    assert tab.locator(".row [tabindex='0']").count() == 1
    assert tab.inner_text("#tip strong") == "“42”"


@pytest.mark.parametrize(
    ("name", "prompts"), [("all", ["One?", "Two?", "Three?"]), ("failed", ["Three?"]), ("stubborn", ["Two?", "Three?"])]
)
def test_records_can_be_filtered(opened, mixed, name, prompts):
    tab = opened(mixed).tab
    tab.check(f"input[value={name}]")
    assert [text.split()[-1] for text in tab.locator(".row .prompt").all_inner_texts()] == prompts
    assert tab.inner_text(".tools .status") == f"{len(prompts)} of 3 records"


def test_records_can_be_searched(opened, mixed):
    tab = opened(mixed).tab
    tab.fill("input[type=search]", "tWO")
    assert tab.locator(".row .answer").all_inner_texts() == ["17 x∎"]
    tab.fill("input[type=search]", "7 X")
    assert tab.locator(".row").count() == 1
    tab.check("input[value=failed]")
    assert tab.inner_text(".answers") == "No record is like that."


def test_a_hostile_record_does_nothing_and_shows_as_text(opened, pages):
    records = [pages.measured([word], [0.4], failure=0, rival=word, got=word) for word in HOSTILE]
    texts = [pages.text(word, word) for word in HOSTILE]
    files = pages.files_of(
        *records, name="<img src=x onerror=alert(6)>", encode={"learn_end": False, "system_prompt": HOSTILE[1]}
    )
    tab = opened(bundle_page(files, texts)).tab
    shown = tab.locator(".row .prompt").all_text_contents()
    assert [text.removeprefix("failed ") for text in shown] == [
        word.replace("\u2028\u2029", "⟨U+2028⟩⟨U+2029⟩").replace("\u202e", "⟨U+202E⟩") for word in HOSTILE
    ]
    assert tab.locator("#main script, #main img, #main iframe, #main a").count() == 0
    assert tab.inner_text("h1") == "<img src=x onerror=alert(6)>"
    for index in range(len(HOSTILE)):
        tab.hover(f".row:nth-child({index + 1}) .token")
        assert tab.locator("#tip *").evaluate_all("all => new Set(all.map((each) => each.tagName)).size") <= 4
    assert HOSTILE[1] in tab.inner_text(".listing:last-child")


def test_the_browser_itself_turns_no_text_into_markup(opened, mixed):
    watched = opened(mixed)
    with pytest.raises(Exception, match="TrustedHTML"):
        watched.tab.evaluate("document.body.innerHTML = '<b>bold</b>'")
    watched.tab.evaluate(
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.org/a.png'}))"
    )
    watched.tab.wait_for_timeout(50)
    assert any("example.org" in error for error in watched.errors), "the policy must refuse it"
    watched.errors.clear()
    watched.requests.clear()


def test_ten_thousand_tokens_are_shown_a_page_at_a_time(opened, pages):
    answer = [f"t{index} " for index in range(10_000)]
    p = [0.3 if index == 9_876 else 0.99 for index in range(10_000)]
    files = pages.files_of(pages.measured(answer, p, ranks=[1] * 10_000), encode={"learn_end": False})
    tab = opened(bundle_page(files, [pages.text("All of it?", *answer)])).tab
    assert tab.locator(".row .token").count() == 750
    assert tab.inner_text(".pager span") == "Page 1 of 14"
    seen = tab.inner_text(".row .answer")
    while tab.is_enabled("text=Next"):
        tab.click("text=Next")
        seen += tab.inner_text(".row .answer")
    assert seen.replace("·", " ").split() == "".join(answer).split()
    assert "(tokens 9,751 to 10,000)" in tab.inner_text(".row .prompt")
    tab.focus(".row .token >> nth=0")
    tab.keyboard.press("PageUp")
    assert tab.inner_text(".pager span") == "Page 13 of 14"
    assert tab.locator(":focus").get_attribute("data-token") == "9000"


def test_without_texts_positions_and_numbers_remain(opened, pages):
    files = pages.files_of(pages.measured(["a", "b", pages.end], [0.99, 0.2, 0.9], failure=1))
    tab = opened(bundle_page(files, None)).tab
    assert tab.locator("input[type=search]").count() == 0
    assert tab.inner_text(".row .prompt").endswith("record 1")
    tab.hover(".row .token:nth-child(2)")
    assert lines(tab.inner_text("#tip")) == [
        "token", "2 of 3", "p", "0.200, stubborn", "margin", "−0.25 nats", "rank", "2",
        "free run", "first differs here",
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(opened, mixed, scheme):
    tab = opened(mixed, scheme=scheme).tab
    tab.wait_for_selector(".plot")
    assert tab.evaluate(CONTRAST) == []


def test_light_and_dark_follow_the_system_and_the_switch(opened, mixed):
    light, dark = opened(mixed).tab, opened(mixed, scheme="dark").tab
    ground = "getComputedStyle(document.body).backgroundColor"
    grounds = light.evaluate(ground), dark.evaluate(ground)
    assert grounds[0] != grounds[1]
    light.click("#theme")
    assert light.evaluate(ground) == grounds[1]
    assert light.inner_text("#theme") == "Light"
    assert light.screenshot() != dark.screenshot(), "the switch says the other word"
    light.click("#theme")
    assert light.evaluate(ground) == grounds[0]


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_width_needs_scrolling_sideways(opened, mixed, width):
    tab = opened(mixed, width=width).tab
    tab.wait_for_selector(".plot")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_grid_of_probabilities_is_painted_and_answers_to_keys(opened, mixed):
    tab = opened(mixed).tab
    tab.wait_for_selector(".plot")
    colours = tab.evaluate(COLOURS)
    assert colours >= 6
    tab.focus("canvas")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    tab.wait_for_selector("#tip:not([hidden])")
    tab.wait_for_function(
        "text => document.querySelector('#tip').innerText.includes(text)", arg="0.410, stubborn", timeout=10_000
    )
