"""A real browser for tests of pages: found, started without any service of its own, and watched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NO_BROWSER = "no chromium; install Debian's `chromium`, or name a browser in VQA_BROWSER"
NO_PLAYWRIGHT = "no Playwright; install vqa's extra `dev`"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def what_is_missing() -> str:
    """Say why no browser can be had; nothing where one can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return NO_PLAYWRIGHT
    return "" if path_of_browser() else NO_BROWSER


def path_of_browser() -> str | None:
    """Return the program that VQA_BROWSER names, or else the first of those known."""
    named = os.environ.get("VQA_BROWSER")
    return next(filter(None, map(shutil.which, [named] if named else NAMES)), None)


@contextmanager
def started() -> Iterator[Any]:
    """A headless browser with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path_of_browser(), headless=True, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """An open page, and all that it said and asked for since it was opened."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked_for: list[str] = field(default_factory=list)

    def draw_all(self) -> None:
        """Draw each plot, as printing does, and bring them back to the screen."""
        self.page.evaluate("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")

    def scroll_width(self) -> int:
        """Width of the document in pixels."""
        return int(self.page.evaluate("document.scrollingElement.scrollWidth"))


@contextmanager
def visit(browser: Any, file: Path, *, width: int = 1280, theme: str = "light", **options: Any) -> Iterator[Visit]:
    """Open a page from disk; `options` are those of Playwright's `new_context`."""
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=theme, **options)
    seen = Visit(context.new_page())
    seen.page.set_default_timeout(10_000)
    seen.page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
    seen.page.on("pageerror", lambda error: seen.said.append(f"error: {error}"))
    context.on("request", lambda request: seen.asked_for.append(request.url))
    try:
        seen.page.goto(file.as_uri())
        yield seen
    finally:
        context.close()
