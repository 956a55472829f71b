"""The page of results as text: whole, closed to the network, and deaf to what strangers write into it."""

import base64
import dataclasses
import hashlib
import itertools
import json
from html.parser import HTMLParser

import pages
import pytest

from vqa.report.content import Code, Column, Page, Paragraph, Section, Table
from vqa.report.figure_json import figure_json
from vqa.report.page import render_page

VOID = {"meta", "img", "input", "br"}


class Reading(HTMLParser):
    """What an HTML parser makes of a page."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.scripts, self.texts = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        else:
            self.texts.append(data)

    def all(self, name):
        """Return the values of an attribute, wherever it stands."""
        return [attrs[name] for _, attrs in self.elements if name in attrs]


def plain_page(*blocks):
    return Page("Results", "", "", (Section("one", "One", blocks),))


@pytest.fixture(scope="module")
def html():
    return render_page(pages.hostile_page())


@pytest.fixture(scope="module")
def reading(html):
    return Reading(html)


def test_every_element_is_closed_and_every_reference_leads_somewhere(reading):
    assert reading.open == []
    ids = reading.all("id")
    assert len(ids) == len(set(ids))
    assert set(reading.all("aria-labelledby")) | set(reading.all("data-controls")) <= set(ids)
    assert {href.removeprefix("#") for href in reading.all("href")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in reading.elements if tag in {"h1", "h2", "h3"}]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_nothing_is_fetched_and_nothing_of_a_stranger_runs(html, reading):
    assert {tag for tag, _ in reading.elements} & {"link", "iframe", "object", "base", "form"} == set()
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in reading.all("src"))
    assert [name for _, attrs in reading.elements for name in attrs if name.startswith("on")] == []
    run = [text for attrs, text in reading.scripts if "type" not in attrs]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in run]
    policy = next(attrs["content"] for _, attrs in reading.elements if "http-equiv" in attrs)
    assert policy.split("; ")[:2] == ["default-src 'none'", f"script-src {' '.join(hashes)}"]
    assert len(run) == 3
    assert "window.broken" not in "".join(run)
    assert "".join(reading.texts).count(pages.BREAKOUT) >= 6
    assert html.count("plotly.js v") == 1


def test_figures_are_whole_json_with_null_for_what_is_no_number(reading):
    figures = [json.loads(text) for attrs, text in reading.scripts if attrs.get("type") == "application/json"]
    assert len(figures) == 5
    assert figures[0]["data"][0]["y"] == [2.0, 1.0, None]
    assert figures[0]["data"][0]["customdata"][0] == '&lt;a href="https://example.invalid/"&gt;click&lt;/a&gt;'
    assert figures[0]["data"][0]["hovertemplate"] == "<b>%{customdata}</b><br>%{x} and %{y}<extra></extra>"


def test_the_json_of_a_figure_can_not_end_its_script():
    figure = {"data": [{"x": ("</script>", "a & b", "\u2028\u2029\x00", "<b>"), "</script>": [float("inf"), 1]}]}
    text = figure_json(figure)
    assert not set(text) & set("<>&\u2028\u2029\x00")
    assert json.loads(text)["data"][0] == {
        "x": ["&lt;/script&gt;", "a &amp; b", "\\u2028\\u2029\\x00", "<b>"],
        "</script>": [None, 1],
    }


def test_a_template_of_the_figure_gives_way_to_the_pages_colours():
    assert figure_json({"data": [], "layout": {"template": {"layout": {}}, "height": 300}}) == (
        '{"data":[],"layout":{"height":300}}'
    )


def test_numbers_have_their_digits_and_what_is_missing_is_a_dash():
    columns = (Column("name"), Column("value", 2), Column("count", 0))
    rows = (("a", -0.001, 3), (None, None, float("nan")), ("b", 2.5, 1200))
    texts = Reading(render_page(plain_page(Table("Numbers", columns, rows)))).texts
    cells = [text for text in texts if text.strip()][-9:]
    assert cells == ["a", "0.00", "3", "–", "–", "–", "b", "2.50", "1200"]


def test_numbers_sort_by_more_digits_than_are_shown():
    rows = ((1.23456789,), (1.5,), (None,))
    reading = Reading(render_page(plain_page(Table("Numbers", (Column("value", 2),), rows))))
    assert reading.all("data-value") == ["1.23456789"]


def test_a_long_id_is_cut_and_whole_in_its_title(reading):
    assert pages.LONG_ID in reading.all("title")
    assert f"{'a' * 100}…{'z' * 40}" in reading.texts


def test_what_can_not_be_seen_is_shown_by_its_code_but_lines_are_kept():
    texts = Reading(render_page(plain_page(Paragraph("a\u202eb\x00\ud800"), Code("one\ntwo")))).texts
    assert "a\\u202eb\\x00\\ud800" in texts
    assert "one\ntwo" in texts


def test_what_stands_between_backticks_is_set_as_code():
    html = render_page(plain_page(Paragraph("run `vqa <x>` or `y` now"), Paragraph("a `b")))
    assert "<p>run <code>vqa &lt;x&gt;</code> or <code>y</code> now</p>" in html
    assert "<p>a `b</p>" in html


def test_a_page_without_plots_is_small():
    assert len(render_page(plain_page(Paragraph("Nothing yet")))) < 30_000


def test_the_warning_stands_in_every_part(reading):
    assert reading.texts.count("The labels are VMAF, not human opinion.") == 5


def test_refuses_sections_of_one_name_and_ragged_rows():
    twice = dataclasses.replace(plain_page(), sections=(Section("one", "One", ()), Section("one", "Two", ())))
    with pytest.raises(ValueError, match="sections share an id: one, one"):
        render_page(twice)
    with pytest.raises(ValueError, match="table 'Numbers' has rows that are not 1 cells long"):
        render_page(plain_page(Table("Numbers", (Column("a"),), (("x", 1),))))
