"""The shipped workflows in ComfyUI's own page: opened from the template browser, queued by its Run button, finished."""

import json
import os
import shutil
import time
import urllib.request

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

pytest_plugins = ["live_server"]

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1920,1200",
]
PAGE_SECONDS, RUN_SECONDS = 90, 400
TEMPLATES_BUTTON = "//button[@aria-label='Templates']"
PACK_IN_TEMPLATES = "//*[@role='button'][normalize-space(.)='styo']"
EXAMPLE_CARD = "//*[@data-testid='template-workflow-{}']"
RUN_BUTTON = "//button[normalize-space(.)='Run']"

BROKEN_NODES = """
    return app.graph.nodes
        .filter(node => node.has_errors || !(node.type in LiteGraph.registered_node_types))
        .map(node => node.title)
"""
SET_WIDGETS = """
    for (const [title, values] of Object.entries(arguments[0])) {
        const node = app.graph.nodes.find(node => node.title === title)
        for (const [name, value] of Object.entries(values))
            node.widgets.find(widget => widget.name === name).value = value
    }
"""
SMALL = {
    "Source: the face photo": {"image": "photo.png"},
    "Target: the artwork": {"image": "painting.png"},
    "StyO IDL Train": {
        "method": "cross_attention",
        "steps": 2,
        "resolution": 64,
        "learning_rate": 1e-4,
        "precision": "fp32",
    },
    "Size of all passes": {"width": 128, "height": 128},
    "Source pass": {"steps": 4},
    "Stylized, with FCC": {"steps": 4},
    "Stylized, without FCC": {"steps": 4},
}
DEMO_SMALL = {
    "StyO Demo Portraits": {"auxiliary_count": 2},
    "StyO IDL Train": {"steps": 2},
    "StyO Invert Source": {"steps": 4},
    "Source pass": {"steps": 4},
    "Stylized, with FCC": {"steps": 4},
    "Stylized, without FCC": {"steps": 4},
}


@pytest.fixture
def page(server, tmp_path):
    """ComfyUI's page in Chromium, as a user sees it who has been there before."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        assert not os.environ.get("CI"), "CI needs chromium and chromedriver: .ci/run installs them"
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    _post(server, "/settings", {"Comfy.TutorialCompleted": True})
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        page.get(server.url)
        yield page
    finally:
        page.quit()


def _post(server, path, body):
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request):
        pass


def _click(page, xpath):
    """Click what the path finds, as soon as it can be clicked."""

    def attempt(page):
        element = page.find_element(By.XPATH, xpath)
        page.execute_script("arguments[0].scrollIntoView()", element)
        element.click()
        return True

    WebDriverWait(page, PAGE_SECONDS, ignored_exceptions=[Exception]).until(attempt, f"nothing to click at {xpath}")


def _severe(page):
    return [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize(("name", "small", "pictures"), [("styo", SMALL, 4), ("styo_demo", DEMO_SMALL, 7)])
def test_an_example_opens_runs_and_finishes_in_the_page(server, page, tmp_path, name, small, pictures):
    _click(page, TEMPLATES_BUTTON)
    _click(page, PACK_IN_TEMPLATES)
    page.get_log("browser")  # what ComfyUI's page itself complains of while it starts is not ours
    _click(page, EXAMPLE_CARD.format(name))
    WebDriverWait(page, PAGE_SECONDS).until(
        lambda page: page.execute_script("return app.graph.nodes.some(node => node.type === 'StyOIDLTrain')")
    )
    time.sleep(3)
    page.save_screenshot(str(tmp_path / "opened.png"))
    text = page.find_element(By.TAG_NAME, "body").text
    assert "issing" not in text and "error" not in text.lower()
    assert page.execute_script(BROKEN_NODES) == []

    page.execute_script(SET_WIDGETS, small)
    before = set(server.get("/history"))
    _click(page, RUN_BUTTON)
    (run,) = WebDriverWait(page, RUN_SECONDS, poll_frequency=1).until(
        lambda _: [entry for id, entry in server.get("/history").items() if id not in before]
    )
    time.sleep(3)
    page.save_screenshot(str(tmp_path / "finished.png"))
    assert run["status"]["status_str"] == "success", run["status"]
    shown = [image for output in run["outputs"].values() for image in output.get("images", [])]
    files = [server.folder / image["type"] / image["subfolder"] / image["filename"] for image in shown]
    assert len(files) == pictures and all(file.is_file() for file in files)
    assert _severe(page) == []
    print(f"screenshots: {tmp_path}")
