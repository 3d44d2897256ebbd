"""The page in a real browser: a press of a button, then states that change by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import faults_of
from tests.support.demo_process import DemoProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium import webdriver
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A demo that runs for all of these tests."""
    with DemoProcess(tmp_path_factory.mktemp("demo"), "--idle") as demo:
        yield demo.address()


class Page:
    """What a person does on the page and sees there."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def button(self, kind: str) -> WebElement:
        """The button of one kind."""
        return self.browser.find_element(By.CSS_SELECTOR, f"form[data-kind={kind}] button")

    def newest(self, name: str) -> WebElement:
        """The newest row of a task, once there is one."""
        self.wait(f"tbody[data-name={name}]")
        return self.browser.find_element(By.CSS_SELECTOR, f"tbody[data-name={name}]")

    def wait(self, selector: str) -> None:
        """Wait until something matches."""
        wait_until(lambda: self.browser.find_elements(By.CSS_SELECTOR, selector), f"{selector} on the page")

    def ids(self) -> list[str]:
        """The short ids of the tasks shown, newest first."""
        script = "return [...document.querySelectorAll('tbody.task small')].map(e => e.textContent)"
        return list(self.browser.execute_script(script))

    def unfinished(self) -> bool:
        """Whether a row changes yet."""
        states = ("waiting", "delayed", "running")
        selector = ", ".join(f"[data-state={state}]" for state in states)
        return bool(self.browser.find_elements(By.CSS_SELECTOR, selector))

    def known(self) -> int:
        """How many tasks the server knows."""
        script = "fetch(document.body.dataset.states).then(r => r.json()).then(a => arguments[0](a.tasks.length))"
        return int(self.browser.execute_async_script(script))

    def polls(self) -> int:
        """How often the page has asked for states."""
        script = "return performance.getEntriesByType('resource').filter(e => e.name.includes('/tasks/?ids=')).length"
        return int(self.browser.execute_script(script))


@pytest.fixture
def page(chromium: webdriver.Chrome, address: str) -> Iterator[Page]:
    chromium.get(address)
    yield Page(chromium)
    # Also what a Content Security Policy refused would stand here.
    assert faults_of(chromium) == []


def test_press_and_watch_it_succeed(page: Page) -> None:
    page.button("async").click()
    page.wait("tbody[data-name=fetch_all][data-state=running]")
    page.wait("tbody[data-name=fetch_all][data-state=successful]")
    assert "successful" in page.newest("fetch_all").text
    told = page.browser.find_element(By.ID, "announcement").get_attribute("textContent")
    assert told is not None
    assert "successful" in told


def test_progress_moves(page: Page) -> None:
    page.button("progress").click()
    row = page.newest("report")
    page.wait("tbody[data-name=report] progress")
    bar = row.find_element(By.TAG_NAME, "progress")
    seen: set[str | None] = set()

    def moved() -> bool:
        seen.add(bar.get_attribute("value"))
        return len(seen) >= 3

    wait_until(moved, "three values of the progress bar")
    page.wait("tbody[data-name=report][data-state=successful]")


def test_the_tag_for_any_project_follows_a_task_to_its_end(page: Page, address: str) -> None:
    page.button("progress").click()
    page.newest("report")
    script = "fetch(document.body.dataset.states).then(r => r.json()).then(a => arguments[0](a.tasks.at(-1).id))"
    task_id = page.browser.execute_async_script(script)
    page.browser.get(f"{address}tasks/{task_id}/watch/")
    page.wait(".task-progress[data-finished=successful] progress[value='1'][max='1']")
    assert "SUCCESS" in page.browser.find_element(By.CSS_SELECTOR, ".task-progress-state").text


def test_by_keyboard(page: Page) -> None:
    number = page.browser.find_element(By.CSS_SELECTOR, "form[data-kind=quick] input[name=number]")
    number.send_keys(Keys.CONTROL, "a")
    number.send_keys("5", Keys.ENTER)
    wait_until(
        lambda: len(page.browser.find_elements(By.CSS_SELECTOR, "tbody[data-name=square][data-state=successful]")) == 5,
        "five finished tasks",
    )


def test_failure_shows_its_traceback(page: Page) -> None:
    page.button("failing").send_keys(Keys.ENTER)
    page.wait("tbody[data-name=divide][data-state=failed]")
    toggle = page.newest("divide").find_element(By.CSS_SELECTOR, "button")
    assert toggle.get_attribute("aria-expanded") == "false"
    toggle.send_keys(Keys.ENTER)
    assert toggle.get_attribute("aria-expanded") == "true"
    details = page.browser.find_element(By.ID, toggle.get_attribute("aria-controls") or "")
    assert details.is_displayed()
    assert "ZeroDivisionError: division by zero" in details.text


def test_killed_task_recovers(page: Page) -> None:
    page.button("crash").click()
    page.wait("tbody[data-name=survive][data-state=running] td.again")
    page.wait("tbody[data-name=survive][data-state=successful]")


def test_asks_only_while_something_is_unfinished(page: Page) -> None:
    wait_until(lambda: not page.unfinished(), "all tasks are finished")
    before = page.polls()
    page.browser.execute_async_script("setTimeout(arguments[0], 1200)")  # that would be two polls
    assert page.polls() == before
    page.button("delayed").click()
    page.wait("tbody[data-name=remind][data-state=delayed]")
    page.wait("tbody[data-name=remind][data-state=successful]")
    assert page.polls() > before


def test_a_reload_shows_the_same_tasks(page: Page) -> None:
    before = page.known()  # a row of an earlier test would prove nothing
    page.button("failing").click()
    wait_until(lambda: len(page.ids()) == before + 1 and not page.unfinished(), "the new task is finished, as all")
    rows = page.ids()
    page.browser.refresh()
    wait_until(lambda: page.ids() == rows, "the same rows again, in the same order")


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_nothing_overflows(page: Page, width: int) -> None:
    page.button("failing").click()
    page.wait("tbody[data-name=divide][data-state=failed]")
    page.newest("divide").find_element(By.CSS_SELECTOR, "button").click()
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for root in ("document.documentElement", "document.querySelector('.frame')"):
            wide, room = page.browser.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]")
            assert wide <= room, root
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
