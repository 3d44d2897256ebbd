"""The dashboard in a real browser: pictures of all pages, what axe-core finds, and work by keyboard alone.

`STREAMTASKS_PICTURES` names the folder for pictures; `.ci/pictures` puts those of the documentation there.
"""

from __future__ import annotations

import base64
import html
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.support.browser import faults_of
from tests.support.demo_process import DemoProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium import webdriver

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("STREAMTASKS_PICTURES")
"""Where pictures are wanted, of a demo with work going on."""

WITHOUT_FOLDERS = r"""
for (const one of document.querySelectorAll("pre"))
    for (const node of one.childNodes)
        if (node.nodeType === 3) node.data = node.data.replace(/"\/[^"]*\/([^"\/]+\/[^"\/]+[.]py)"/g, '"$1"')
"""
"""Pictures of tracebacks do not name the folders of the machine that they were taken on."""

LOOKS = {"light": (1280, 800, "light"), "dark": (1280, 800, "dark"), "phone": (390, 844, "light")}


class Site:
    """The demo, and what a program does at its pages."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = requests.Session()
        self._session.get(address).raise_for_status()
        self._token = {"X-CSRFToken": str(self._session.cookies["streamtasks_demo_csrf"])}

    def enqueue(self, kind: str, number: int = 1) -> str:
        """Enqueue a kind of task; return the id of the last."""
        data = {"kind": kind, "number": number}
        answer = self._session.post(f"{self.address}enqueue/", data, headers=self._token)
        answer.raise_for_status()
        return str(answer.json()["tasks"][-1]["id"])

    def change(self, path: str, **data: str) -> None:
        """Post something to the dashboard."""
        answer = self._session.post(f"{self.address}dashboard/default/{path}", data, headers=self._token)
        answer.raise_for_status()

    def page(self, path: str) -> str:
        """Return a page of the dashboard."""
        return self._session.get(f"{self.address}dashboard/default/{path}").text

    def wait(self, path: str, words: str) -> str:
        """Wait until words stand on a page; return it."""
        found = ""

        def look() -> bool:
            nonlocal found
            found = self.page(path)
            return words in found

        wait_until(look, lambda: f"{words!r} on {path}: {found}", every_s=0.1)
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo in which something has failed, something has ended and something waits."""
    with DemoProcess(tmp_path_factory.mktemp("demo"), *(() if PICTURES else ("--idle",))) as demo:
        site = Site(demo.address())
        site.enqueue("quick", 5)
        failing = site.enqueue("failing")
        site.enqueue("delayed", 30)
        site.wait(f"tasks/{failing}/", "ZeroDivisionError")
        site.wait("charts/", "By the hour")
        yield site


@pytest.fixture
def hand(chromium: webdriver.Chrome, site: Site) -> Iterator[Hand]:
    """A person at the keyboard, with the overview open."""
    look(chromium, "light")
    hand = Hand(chromium)
    chromium.get(f"{site.address}dashboard/default/")
    chromium.execute_script("localStorage.clear(); sessionStorage.clear()")
    chromium.refresh()
    faults_of(chromium)
    yield hand
    assert faults_of(chromium) == []


def look(browser: webdriver.Chrome, name: str) -> None:
    """Give the browser a screen and a preferred colour scheme."""
    width, height, scheme = LOOKS[name]
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": name == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def addresses(site: Site) -> dict[str, str]:
    """Return every page that the navigation names, the first page below each, and one of an error."""
    root = f"{site.address}dashboard/default/"
    frame = site.page("")
    found: dict[str, str] = {}
    for path in re.findall(r'<li>(?:<span.*?</span>)?<a href="([^"]+)" data-key', frame):
        name = path.rstrip("/").rpartition("/")[2]
        found["overview" if name == "default" else name] = requests.compat.urljoin(root, path)  # type: ignore[attr-defined]
    for name, address in list(found.items()):
        if name != "overview":
            below = re.search(
                rf'href="({re.escape(address.removeprefix(site.address.rstrip("/")))}(?:one/[?][^"]+|[^"/?]+/))"',
                requests.get(address).text,
            )
            if below:
                found[f"one-of-{name}"] = requests.compat.urljoin(root, html.unescape(below[1]))  # type: ignore[attr-defined]
    return {**found, "not-found": f"{root}tasks/nobody/"}


def findings(browser: webdriver.Chrome, source: str, rules: dict[str, Any]) -> list[str]:
    """Return what axe-core finds on the page that is open."""
    browser.execute_script(source)
    found = browser.execute_async_script(
        "axe.run(document, arguments[0]).then(found => arguments[1](found.violations), e => arguments[1](String(e)))",
        {**rules, "resultTypes": ["violations"], "reporter": "v1"},
    )
    assert isinstance(found, list), found
    return [f"{one['id']}: {node['html'][:150]} {node['failureSummary']}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("name", LOOKS)
def test_every_page_looks_well_and_axe_finds_nothing(
    chromium: webdriver.Chrome, site: Site, name: str, tmp_path: Path
) -> None:
    folder = Path(PICTURES or tmp_path)
    axe = files("axe_selenium_python").joinpath("node_modules/axe-core/axe.min.js").read_text("utf-8")
    # What other colours and another width change is no more than this.
    rules: dict[str, Any] = {} if name == "light" else {"runOnly": ["color-contrast", "scrollable-region-focusable"]}
    look(chromium, name)
    site.wait("tasks/", "ZeroDivisionError")
    running = site.enqueue("progress")
    site.wait(f"tasks/{running}/", "PROGRESS")
    bad: list[str] = []
    try:
        for page, address in {
            **addresses(site),
            "running": f"{site.address}dashboard/default/tasks/{running}/",
        }.items():
            chromium.get(address)
            bad += [f"{page}: {one}" for one in findings(chromium, axe, rules)]
            wide, room = chromium.execute_script(
                "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
            )
            bad += [f"{page} is {wide} wide, there is room for {room}"] if wide > room else []
            bad += [f"{page}: {one}" for one in faults_of(chromium) if page != "not-found"]
            chromium.execute_script(WITHOUT_FOLDERS)
            shot = chromium.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": name != "phone"})
            (folder / f"{page}-{name}.png").write_bytes(base64.b64decode(shot["data"]))
    finally:
        look(chromium, "light")
    assert bad == []


class Hand:
    """What a person without a mouse does, and sees."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def press(self, *keys: str) -> None:
        """Press keys, each by itself."""
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def script(self, text: str, *values: Any) -> Any:
        """Return what a script sees."""
        return self.browser.execute_script(f"return {text}", *values)

    def focused(self, selector: str) -> bool:
        """Whether what has the focus matches."""
        return bool(self.script("document.activeElement.matches(arguments[0])", selector))

    def tab_to(self, selector: str) -> None:
        """Press Tab until something that matches has the focus."""
        for _ in range(80):
            if self.focused(selector):
                return
            self.press(Keys.TAB)
        pytest.fail(f"Tab does not reach {selector} on {self.browser.current_url}")

    def go(self, *keys: str, to: str) -> None:
        """Press keys that open another page, and wait for it."""
        before = self.script("performance.timeOrigin")
        self.press(*keys)
        wait_until(
            lambda: (
                self.script("performance.timeOrigin") != before and self.script("document.readyState") == "complete"
            ),
            lambda: f"another page than {self.browser.current_url}",
        )
        assert re.search(to, self.browser.current_url), self.browser.current_url

    def text(self) -> str:
        """What stands on the page."""
        return str(self.script("document.querySelector('main').innerText"))

    def find_failed(self) -> None:
        """Go from anywhere to the newest failed task."""
        self.go("g", "t", to="/tasks/")
        self.press("j")
        assert self.focused("tbody th a")
        self.go(Keys.ENTER, to="/tasks/[^/]+/$")
        assert "ZeroDivisionError" in self.text()


def test_help_sheet(hand: Hand) -> None:
    hand.press("?")
    assert hand.script("document.getElementById('keys').open")
    assert "Pause or resume updates" in hand.script("document.getElementById('keys').innerText")
    hand.press(Keys.ESCAPE)
    assert not hand.script("document.getElementById('keys').open")


def test_single_keys_can_be_turned_off(hand: Hand) -> None:
    hand.press("?")
    hand.tab_to("#keys-on")
    hand.press(Keys.SPACE, Keys.ESCAPE, "g", "q", "j")
    assert hand.focused("body, #keys-open")
    assert hand.browser.current_url.endswith("/default/")
    hand.press("?")
    hand.tab_to("#keys-on")
    hand.press(Keys.SPACE, Keys.ESCAPE)
    hand.go("g", "q", to="/queues/$")


def test_skip_to_the_content(hand: Hand) -> None:
    hand.press(Keys.TAB)
    assert hand.focused("a.skip")
    hand.press(Keys.ENTER)
    assert hand.focused("main")


def test_pages_by_tab(hand: Hand) -> None:
    hand.tab_to(".pages a[href$='/workers/']")
    hand.go(Keys.ENTER, to="/workers/$")
    assert "live" in hand.text()


def test_from_the_overview_to_what_failed(hand: Hand) -> None:
    assert "ZeroDivisionError: division by zero" in hand.text()
    hand.tab_to(".concern a")
    hand.go(Keys.ENTER, to="/tasks/")
    assert "ZeroDivisionError" in hand.text()


def test_find_a_failing_task_by_keys_and_retry_it(hand: Hand) -> None:
    hand.find_failed()
    hand.press("a")
    hand.tab_to("form[action$='/retry/'] [name=reason]")
    hand.go("the divisor was mended", Keys.ENTER, to=r"/tasks/[^/]+/\?note=done$")
    assert "Repeats" in hand.text()


def test_filter_tasks(hand: Hand) -> None:
    hand.go("g", "t", to="/tasks/")
    hand.press("/")
    assert hand.focused("form.filter input")


def test_revoke_a_delayed_task(hand: Hand, site: Site) -> None:
    task_id = site.enqueue("delayed", 30)
    hand.browser.get(f"{site.address}dashboard/default/tasks/{task_id}/")
    hand.tab_to("form[action$='/revoke/'] [name=reason]")
    hand.go("nobody waits for it", Keys.ENTER, to=task_id)
    wait_until(lambda: "REVOKED" in hand.text() or "revoked" in hand.text().lower(), "it is revoked")


def test_pause_and_resume_a_queue_and_read_the_audit(hand: Hand) -> None:
    for action, reason in (("pause", "the database moves"), ("resume", "the database has moved")):
        hand.go("g", "q", to="/queues/$")
        hand.tab_to(f"form[action$='/{action}/'] :is([name=queue]:not([type=hidden]), [name=reason])")
        if hand.focused("[name=queue]"):
            hand.press("default", Keys.TAB)
        hand.go(reason, Keys.ENTER, to="/queues/")
        assert (reason in hand.text()) == (action == "pause")
    hand.go("g", "y", to="/audit/$")
    assert "the database moves" in hand.text()
    assert "the database has moved" in hand.text()


def test_up_from_a_task_to_the_list(hand: Hand) -> None:
    hand.find_failed()
    hand.go("u", to="/tasks/$")


def test_pause_updates(hand: Hand, site: Site) -> None:
    hand.press("p")
    assert hand.script("document.getElementById('live').textContent") == "Updates are paused"
    hand.press("p")
    assert hand.script("document.getElementById('live').textContent") == "Live"


def test_a_page_changes_by_itself_and_keeps_the_focus(hand: Hand, site: Site) -> None:
    task_id = site.enqueue("delayed", 60)
    hand.browser.get(f"{site.address}dashboard/default/tasks/{task_id}/")
    hand.tab_to("main a")
    href = hand.script("document.activeElement.href")
    site.change(f"tasks/{task_id}/revoke/", reason="by somebody else")
    wait_until(lambda: "REVOKED" in hand.text(), "the page shows what somebody else did")
    assert hand.script("document.activeElement.href") == href
