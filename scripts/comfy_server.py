"""The real ComfyUI server with this pack in it, in folders of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import torch

PACK = Path(__file__).resolve().parent.parent
PACK_NAME = "styo"
START_SECONDS = 300
IMPORT_FAILURES = ("IMPORT FAILED", "Cannot import")
Progress = Callable[[str, int, int], None]
"""Called with a node's id, the steps done and the steps in all."""


class StartError(Exception):
    """ComfyUI does not start or cannot import the pack; the message ends with its log."""


class WorkflowError(Exception):
    """ComfyUI refused a workflow or a node failed; the message is ComfyUI's own."""


@dataclasses.dataclass
class Run:
    """What became of a queued workflow: its nodes' interface output, and which nodes ran or came from the cache."""

    outputs: dict[str, dict] = dataclasses.field(default_factory=dict)
    executed: list[str] = dataclasses.field(default_factory=list)
    cached: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Server:
    """A running server: its address, its folders and its log."""

    url: str
    folder: Path
    log: Path

    def get(self, path: str):
        """The JSON at a path of the server."""
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            return json.load(reply)

    def run(self, prompt: dict, workflow: dict | None = None, progress: Progress | None = None) -> Run:
        """Queue an API-format workflow and wait for its end; pictures carry ``workflow``. Raises WorkflowError."""
        return asyncio.run(self._run(prompt, workflow, progress or (lambda *_: None)))

    async def _run(self, prompt: dict, workflow: dict | None, progress: Progress) -> Run:
        client = uuid.uuid4().hex
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.ws_connect(f"/ws?clientId={client}", max_msg_size=0) as events,
        ):
            body = {"prompt": prompt, "client_id": client, "extra_data": extra}
            async with session.post("/prompt", json=body) as reply:
                answer = await reply.json()
                # ComfyUI takes a workflow with wrong nodes as long as some output does not need them.
                if reply.status != 200 or answer.get("node_errors"):
                    raise WorkflowError(_refusal(answer))
            run = Run()
            async for event in events:
                if event.type == aiohttp.WSMsgType.TEXT and _follow(json.loads(event.data), run, progress):
                    return run
        raise WorkflowError(f"The server ended the connection.\n{_tail(self.log)}")

    def pictures(self, run: Run, node: str) -> list[Path]:
        """The files of the pictures that a node showed or saved."""
        images = run.outputs.get(node, {}).get("images", [])
        return [self.folder / image["type"] / image["subfolder"] / image["filename"] for image in images]


def _follow(event: dict, run: Run, progress: Progress) -> bool:
    """Take one websocket event into the run; True at its end."""
    data = event.get("data", {})
    match event["type"]:
        case "execution_cached":
            run.cached += data["nodes"]
        case "executing" if data["node"]:
            run.executed.append(data["node"])
            progress(data["node"], 0, 0)
        case "progress":
            progress(data["node"], data["value"], data["max"])
        case "executed":
            run.outputs[data["node"]] = data["output"]
        case "execution_error":
            raise WorkflowError(f"{data['node_type']}: {data['exception_message'].strip()}")
        case "execution_interrupted":
            raise WorkflowError("The run was interrupted.")
        case "execution_success":
            return True
    return False


def _refusal(answer: dict) -> str:
    """ComfyUI's answer to a workflow it does not take, as one text."""
    lines = [answer["error"]["message"]] if "error" in answer else []
    for node in answer.get("node_errors", {}).values():
        lines += [f"{node['class_type']}: {error['message']}: {error['details']}" for error in node["errors"]]
    return "\n".join(lines)


@contextlib.contextmanager
def serve(
    folder: Path, *flags: str, model_folders: dict[str, Path] | None = None, pack: Path = PACK
) -> Iterator[Server]:
    """Run the ComfyUI of ``COMFYUI_PATH`` with all its folders under ``folder``, reading ``model_folders`` as well.

    ``pack`` is where the pack lies.

    Raises StartError if it does not start or cannot import the pack.
    """
    _mount_pack(folder / "custom_nodes", pack)
    for name in ("input", "output", "temp", "user", "models/checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    more_models = folder / "extra_model_paths.yaml"  # JSON is YAML
    more_models.write_text(json.dumps({"more": {name: str(path) for name, path in (model_folders or {}).items()}}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    comfyui, log = Path(os.environ["COMFYUI_PATH"]), folder / "server.log"
    command = [sys.executable, comfyui / "main.py", "--port", port, "--base-directory", folder]
    command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_NAME, "--disable-api-nodes"]
    command += ["--database-url", "sqlite:///:memory:", *flags]
    if model_folders:
        command += ["--extra-model-paths-config", more_models]
    if not torch.accelerator.is_available():
        command.append("--cpu")
    with log.open("wb") as sink:
        process = subprocess.Popen([str(part) for part in command], cwd=comfyui, stdout=sink, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}", folder, log)
    try:
        _await_start(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _mount_pack(custom_nodes: Path, pack: Path):
    """Put the pack among the custom nodes: by a link, or by a copy where links are not allowed."""
    custom_nodes.mkdir(parents=True, exist_ok=True)
    place = custom_nodes / PACK_NAME
    if place.is_symlink():
        return
    if place.exists():
        shutil.rmtree(place)
    try:
        place.symlink_to(pack, target_is_directory=True)
    except OSError:
        shutil.copytree(pack, place, ignore=shutil.ignore_patterns(".*", "__pycache__", "demo_output"))


def _await_start(server: Server, process: subprocess.Popen):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.get("/system_stats")
            break
        except (urllib.error.URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"ComfyUI did not start.\n{_tail(server.log)}") from error
            time.sleep(0.2)
    log = server.log.read_text("utf-8", errors="replace")
    if any(failure in log for failure in IMPORT_FAILURES):
        raise StartError(f"ComfyUI could not import the pack.\n{_tail(server.log)}")


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-lines:])
