"""The shipped workflows in ComfyUI's own page: opened from the template browser, queued by its Run button, finished."""

import json
import os
import shutil
import time
import urllib.request

import pytest
import templates
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from template_parts import BLUEPRINT, FACES

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
    "--window-size=1920,1080",
    "--hide-scrollbars",
]
PAGE_SECONDS, RUN_SECONDS = 90, 400
SMALLEST_ZOOM = 0.58
"""Below it the classic renderer leaves out texts."""
TEMPLATES_BUTTON = "//button[@aria-label='Templates']"
PACK_IN_TEMPLATES = "//*[@role='button'][normalize-space(.)='styo']"
EXAMPLE_CARD = "//*[@data-testid='template-workflow-{}']"
RUN_BUTTON = "//button[normalize-space(.)='Run']"

OPENED = "return app.extensionManager.workflow.activeWorkflow.filename === arguments[0] && app.graph.nodes.length > 3"
OPEN = """
    const [name, done] = arguments
    fetch(`/api/workflow_templates/styo/${encodeURIComponent(name)}.json`).then(reply => reply.json())
        .then(graph => app.loadGraphData(graph, true, true, name, {openSource: 'template'})).then(done, done)
"""
WIRES_BEHIND_NODES = """
    const canvas = document.createElement('canvas').getContext('2d'), found = []
    canvas.lineWidth = 3
    const links = [...app.graph.links.values()]
    const ends = ids => links.filter(link => ids.has(link.id)).flatMap(link => [link.origin_id, link.target_id])
    const wires = [
        ...links.map(link => [link.path, ends(new Set([link.id]))]),
        ...[...app.graph.reroutes.values()].map(reroute => [reroute.path, ends(new Set(reroute.linkIds))]),
    ]
    if (!wires.length || wires.some(([path]) => !path)) return 'no wire was drawn'
    for (const node of app.graph.nodes) {
        const [x, y, width, height] = node.getBounding(), border = []
        for (let i = 2; i < width - 2; i++) border.push([x + i, y + 2], [x + i, y + height - 2])
        for (let i = 2; i < height - 2; i++) border.push([x + 2, y + i], [x + width - 2, y + i])
        for (const [path, own] of wires)
            if (!own.includes(node.id) && border.some(([x, y]) => canvas.isPointInStroke(path, x, y)))
                found.push(node.title)
    }
    return found
"""
NODES_ON_NODES = """
    const boxes = app.graph.nodes.map(node => [node.title, node.getBounding()])
    return boxes.flatMap(([title, [x, y, width, height]], first) => boxes.slice(first + 1)
        .filter(([_, [left, top, wide, high]]) =>
            x < left + wide && left < x + width && y < top + high && top < y + height)
        .map(([other]) => [title, other]))
"""
READY = "return !!window.app?.canvas && Object.keys(LiteGraph.registered_node_types).length > 100"
APP_MODE = """
    const {inputs, outputs} = app.graph.extra.linearData
    const node = id => app.graph.nodes.find(node => String(node.id) === String(id))
    const missing = inputs.filter(([id, name]) => !node(id)?.widgets?.some(widget => widget.name === name))
    return [inputs.length && outputs.length, [...missing, ...outputs.filter(id => !node(id))]]
"""
INSERTED = "return app.graph.nodes.filter(node => node.title === arguments[0]).map(node => node.subgraph?.nodes.length)"
BROKEN_NODES = """
    return app.graph.nodes
        .filter(node => node.has_errors || !(node.type in LiteGraph.registered_node_types))
        .map(node => node.title)
"""
COLOURS_AT_THE_END_OF = """
    const node = app.graph.nodes.find(node => node.title === arguments[0]), {scale, offset} = app.canvas.ds
    const [x, y] = [node.pos[0] + offset[0], node.pos[1] + node.size[1] - 200 + offset[1]]
    const [left, top, width, height] = [x, y, node.size[0], 200].map(length => length * scale)
    const {data} = app.canvas.canvas.getContext('2d').getImageData(left, top, width, height)
    return new Set(new Uint32Array(data.buffer)).size
"""
SET_WIDGETS = """
    const inside = nodes => nodes.flatMap(node => [node, ...(node.subgraph ? inside(node.subgraph.nodes) : [])])
    for (const [title, values] of Object.entries(arguments[0])) {
        const node = inside(app.graph.nodes).find(node => node.title === title)
        for (const [name, value] of Object.entries(values))
            node.widgets.find(widget => widget.name === name).value = value
    }
"""
SMALL = {
    templates.PHOTO: {"image": "photo.png"},
    templates.ARTWORK: {"image": "painting.png"},
    FACES: {"batch_size": 2, "size": 64, "sampling_steps": 2},
    BLUEPRINT: {"method": "cross_attention", "training_steps": 2, "sampling_steps": 4, "size": 128},
    "StyO IDL Train": {"precision": "fp32"},
}
DEMO_SMALL = {
    "StyO Demo Portraits": {"auxiliary_count": 2},
    BLUEPRINT: {"training_steps": 2, "sampling_steps": 4},
    "StyO IDL Train": {"preview_every": 1},
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
    page.set_script_timeout(PAGE_SECONDS)
    view = {"width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", view)
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


@pytest.mark.parametrize(("name", "small", "pictures"), [(templates.FULL, SMALL, 5), (templates.DEMO, DEMO_SMALL, 9)])
def test_an_example_opens_runs_and_finishes_in_the_page(server, page, tmp_path, name, small, pictures):
    _click(page, TEMPLATES_BUTTON)
    _click(page, PACK_IN_TEMPLATES)
    page.get_log("browser")  # what ComfyUI's page itself complains of while it starts is not ours
    _click(page, EXAMPLE_CARD.format(name))
    WebDriverWait(page, PAGE_SECONDS).until(lambda page: page.execute_script(OPENED, name))
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
    if name == templates.DEMO:
        assert page.execute_script(COLOURS_AT_THE_END_OF, BLUEPRINT) > 100, "the training's picture, on the closed node"
    assert _severe(page) == []
    print(f"screenshots: {tmp_path}")


def test_a_template_is_one_readable_page_with_an_app_mode(server, page, tmp_path):
    """On a screen of 1920 x 1080: texts are drawn, no wire runs behind a node it does not belong to, none overlap."""
    WebDriverWait(page, PAGE_SECONDS).until(lambda page: page.execute_script(READY))
    for name in server.get("/workflow_templates")["styo"]:
        assert page.execute_async_script(OPEN, name) is not False
        WebDriverWait(page, PAGE_SECONDS).until(lambda page, name=name: page.execute_script(OPENED, name))
        time.sleep(2)
        page.save_screenshot(str(tmp_path / f"{name}.png"))
        assert page.execute_script("return app.canvas.ds.scale") >= SMALLEST_ZOOM, name
        assert page.execute_script(WIRES_BEHIND_NODES) == [], name
        assert page.execute_script(NODES_ON_NODES) == [], name
        asked, missing = page.execute_script(APP_MODE)
        assert asked and missing == [], name


def test_the_blueprint_is_found_by_its_name_and_goes_in_as_one_node(page):
    WebDriverWait(page, PAGE_SECONDS).until(lambda page: page.execute_script(READY))
    canvas = page.find_element(By.ID, "graph-canvas")
    ActionChains(page).double_click(canvas).pause(2).send_keys(BLUEPRINT).pause(2).send_keys(Keys.ENTER).perform()
    ActionChains(page).pause(2).click(canvas).pause(2).perform()
    (inside,) = page.execute_script(INSERTED, BLUEPRINT)
    assert inside > 10


def test_the_search_box_finds_the_nodes_by_what_people_type(page):
    WebDriverWait(page, PAGE_SECONDS).until(lambda page: page.execute_script(READY))
    canvas = page.find_element(By.ID, "graph-canvas")
    for word in ("cartoon", "DreamBooth", "prompt to prompt", "style transfer"):
        ActionChains(page).double_click(canvas).pause(2).send_keys(word).pause(2).perform()
        assert "StyO" in page.find_element(By.TAG_NAME, "body").text, word
        ActionChains(page).send_keys(Keys.ESCAPE).pause(1).perform()
