"""The page of results in a real browser: opened from disk, read, clicked, and checked for everybody's use of it."""

import os
from pathlib import Path

import browser
import pages
import pytest

from vqa.report.page import render_page

pytestmark = pytest.mark.skipif(bool(browser.what_is_missing()), reason=f"browser: {browser.what_is_missing()}")

PLOTS = 5
LABEL = ".hoverlayer .hovertext"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def chromium():
    with browser.started() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where pages and their pictures are kept: VQA_SCREENSHOTS, or a folder of pytest's."""
    folder = Path(os.environ.get("VQA_SCREENSHOTS") or tmp_path_factory.mktemp("pages"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


@pytest.fixture(scope="module")
def file(folder):
    file = folder / "hostile.html"
    file.write_text(render_page(pages.hostile_page()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def desk(chromium, file):
    """One open page for tests that leave it usable for the others."""
    with browser.visit(chromium, file) as visit:
        yield visit


@pytest.fixture
def fresh(chromium, file):
    with browser.visit(chromium, file) as visit:
        yield visit


def column(page, caption, index):
    """What stands in one column of a table, from the top down."""
    cells = page.get_by_role("table", name=caption, exact=True).locator(f"tbody tr:visible td:nth-child({index})")
    return cells.all_inner_texts()


def header(page, name):
    return page.get_by_role("table", name="Scores of the videos").get_by_role("columnheader", name=name)


@pytest.mark.parametrize(
    ("width", "theme"),
    [
        (390, "light"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "dark", marks=pytest.mark.slow),
        pytest.param(1280, "light", marks=pytest.mark.slow),
    ],
)
def test_opens_from_disk_clean_and_for_everybody(chromium, file, folder, width, theme):
    from axe_playwright_python.sync_playwright import Axe

    with browser.visit(chromium, file, width=width, theme=theme, has_touch=width == 390) as visit:
        visit.draw_all()
        visit.page.screenshot(path=folder / f"{width}-{theme}.png", full_page=True)
        assert visit.scroll_width() == width
        drawn = visit.page.locator(".canvas").evaluate_all(
            "boxes => boxes.map(b => b.querySelectorAll('svg path').length)"
        )
        assert len(drawn) == PLOTS
        assert min(drawn) > 2
        visit.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
        visit.page.locator(".shot").last.focus()
        assert visit.scroll_width() == width
        found = Axe().run(visit.page, options=RULES).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"][:300]) for rule in found] == []
        assert visit.said == []
        assert visit.asked_for == [file.as_uri()]
        assert visit.page.evaluate("window.broken") is None


def test_plots_are_drawn_when_they_come_near(fresh):
    first, last = fresh.page.locator(".canvas").first, fresh.page.locator(".canvas").last
    first.scroll_into_view_if_needed()
    first.locator("svg").first.wait_for()
    assert last.locator("svg").count() == 0
    last.scroll_into_view_if_needed()
    assert (
        last.locator("svg[role=img]").get_attribute("aria-label").startswith("Who says the same. The brighter a field")
    )


def test_tables_sort_by_mouse_with_what_is_missing_last(desk):
    header(desk.page, "rating").get_by_role("button").click()
    assert header(desk.page, "rating").get_attribute("aria-sort") == "ascending"
    assert column(desk.page, "Scores of the videos", 2) == ["0.00", "2.00", "3.50", "10.25", "–"]
    header(desk.page, "rating").get_by_role("button").click()
    assert header(desk.page, "rating").get_attribute("aria-sort") == "descending"
    assert column(desk.page, "Scores of the videos", 2) == ["10.25", "3.50", "2.00", "0.00", "–"]


def test_tables_sort_by_keyboard_and_text_as_people_count(desk):
    header(desk.page, "rating").get_by_role("button").click()
    header(desk.page, "video").get_by_role("button").focus()
    desk.page.keyboard.press("Enter")
    names = column(desk.page, "Scores of the videos", 1)
    assert names.index("clip9.mp4") + 1 == names.index("clip10.mp4")
    assert header(desk.page, "rating").get_attribute("aria-sort") is None
    desk.page.keyboard.press("Space")
    assert header(desk.page, "video").get_attribute("aria-sort") == "descending"


def test_long_tables_can_be_filtered(desk):
    desk.page.get_by_label("Rows that contain").fill("VIDEO-3")
    assert column(desk.page, "Every video", 1)[:2] == ["video-3.mp4", "video-30.mp4"]
    assert desk.page.get_by_role("status").inner_text() == "11 of 40 rows"


def test_hovering_shows_a_label_in_which_a_strangers_link_is_text(desk):
    dot = desk.page.locator(".canvas").first.locator(".point").first
    dot.scroll_into_view_if_needed()
    dot.hover(force=True)
    label = desk.page.locator(LABEL)
    label.wait_for()
    assert pages.LINK in label.text_content()
    assert label.locator("a").count() == 0


def test_details_of_a_picture_come_by_hover_focus_and_click_and_go_by_escape(desk):
    shot, details = desk.page.get_by_role("button", name="clip1.mp4"), desk.page.locator(".details").nth(1)
    shot.hover()
    assert details.is_visible()
    desk.page.mouse.move(2, 2)
    assert details.is_hidden()
    shot.focus()
    assert details.is_visible()
    assert shot.get_attribute("aria-expanded") == "true"
    desk.page.keyboard.press("Escape")
    assert details.is_hidden()
    shot.click()
    desk.page.mouse.move(2, 2)
    assert details.is_visible()
    assert "4.56" in details.inner_text()
    desk.page.keyboard.press("Escape")
    assert details.is_hidden()
    assert shot.get_attribute("aria-expanded") == "false"


def test_the_theme_can_be_chosen_and_plots_follow(desk):
    def colours():
        return desk.page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, document.querySelector('.main-svg').style.background]"
        )

    desk.page.locator(".canvas").first.scroll_into_view_if_needed()
    desk.page.locator(".canvas svg").first.wait_for()
    assert colours() == ["rgb(255, 255, 255)", "rgb(255, 255, 255)"]
    desk.page.get_by_role("button", name="Dark colours").click()
    assert colours() == ["rgb(21, 24, 29)", "rgb(21, 24, 29)"]
    desk.page.get_by_role("button", name="Light colours").click()
    desk.page.emulate_media(color_scheme="dark")
    assert colours() == ["rgb(255, 255, 255)", "rgb(255, 255, 255)"]


def test_the_keyboard_reaches_the_content_in_two_steps(fresh):
    fresh.page.keyboard.press("Tab")
    assert fresh.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    fresh.page.keyboard.press("Enter")
    assert fresh.page.evaluate("document.activeElement.id") == "content"


def test_without_scripts_numbers_and_details_can_be_read(chromium, file):
    with browser.visit(chromium, file, java_script_enabled=False) as visit:
        assert visit.page.get_by_text("Scripts are off").is_visible()
        assert column(visit.page, "Scores of the videos", 2)[0] == "3.50"
        assert visit.page.locator(".details").first.is_visible()
        visit.page.locator("summary", has_text="The numbers of this plot").first.click()
        assert visit.page.get_by_role("table", name="Numbers").first.is_visible()
        assert visit.page.get_by_role("button").count() == 0


def test_prints_every_plot_in_light_colours(chromium, file):
    with browser.visit(chromium, file, theme="dark") as visit:
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        visit.page.emulate_media(media="print")
        assert visit.page.locator(".canvas .main-svg:first-of-type").count() >= PLOTS
        backgrounds = visit.page.locator(".canvas .main-svg:first-child").evaluate_all(
            "all => all.map(s => s.style.background)"
        )
        assert set(backgrounds) - {""} == {"rgb(255, 255, 255)"}
        assert not visit.page.get_by_role("navigation").is_visible()
        assert visit.page.locator(".details").first.is_visible()
