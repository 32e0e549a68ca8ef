"""Workflow files as ComfyUI's page saves them, from a few words a node: nodes, links, reroutes, subgraphs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import uuid
from collections.abc import Iterable
from pathlib import Path

from workflow import CONTROL, NOTES, widget_names

Place = tuple[int, int]
INPUTS, OUTPUTS = -10, -20
"""The ids of a subgraph's two ends."""
NOTE_COLOURS = {"color": "#222", "bgcolor": "#000"}
UPLOAD = "image_upload"


@dataclasses.dataclass(frozen=True)
class Output:
    """An output of a node, to be linked; ``path`` are the points that the wire leads through."""

    node: int
    slot: int
    kind: str
    path: tuple[Place, ...] = ()

    def via(self, *path: Place) -> Output:
        """The same output, its wire led through these points."""
        return dataclasses.replace(self, path=path)


class Node:
    """A node that stands in a graph; ``node["MODEL"]`` is its output of that name."""

    def __init__(self, data: dict):
        self.data = data

    def __getitem__(self, name: str) -> Output:
        slot = [output["name"] for output in self.data["outputs"]].index(name)
        return Output(self.data["id"], slot, self.data["outputs"][slot]["type"])


class Graph:
    """Nodes and their links: a workflow's page, or the inside of a subgraph."""

    def __init__(self, name: str, object_info: dict, parent: Graph | None = None):
        self.name, self.info, self.root = name, object_info, parent.root if parent else self
        self.nodes: list[dict] = []
        self.links: list[dict] = []
        self.groups: list[dict] = []
        self.reroutes: list[dict] = []
        self.subgraphs: dict[str, Subgraph] = {}
        if parent is None:
            self.counters = {kind: itertools.count(1) for kind in ("node", "link", "reroute")}

    def add(
        self,
        kind: str,
        at: Place,
        size: Place,
        title: str | None = None,
        mode: int = 0,
        values: dict | None = None,
        labels: dict[str, str] | None = None,
        **given,
    ) -> Node:
        """A node of ``kind``; ``given`` are its inputs by name: an Output to link, or a widget's value.

        ``values`` are more of the same, for inputs named as a parameter here; ``labels`` are other names to show.
        Raises KeyError for a name the node has not.
        """
        if kind in NOTES:
            return self._put(kind, at, size, title, mode, [], [], [given["text"]], NOTE_COLOURS)
        info, given = self.info[kind], {**given, **(values or {})}
        widgets = widget_names(info)
        inputs, saved = [], []
        for name, spec in specs(info):
            data = {"name": name, "type": "COMBO" if isinstance(spec[0], list) else spec[0]}
            if labels and name in labels:
                data["label"] = labels[name]
            if name in info["input"].get("optional", {}) and name not in widgets:
                data["shape"] = 7
            value = given.pop(name, None)
            if name in widgets:
                data["widget"] = {"name": name}
                saved.append(default(spec) if value is None or isinstance(value, Output) else value)
                if widgets[widgets.index(name) + 1 : widgets.index(name) + 2] == [CONTROL]:
                    saved.append("fixed")
                if len(spec) > 1 and spec[1].get(UPLOAD):
                    saved.append("image")
            inputs.append((data, value if isinstance(value, Output) else None))
        if given:
            raise KeyError(f"{kind} has no input {', '.join(given)}")
        outputs = list(zip(info["output_name"], map(str, info["output"]), strict=True))
        return self._put(kind, at, size, title, mode, inputs, outputs, saved)

    def place(
        self, subgraph: Subgraph, at: Place, size: Place, title: str | None = None, values: dict | None = None, **given
    ) -> Node:
        """A subgraph as one node; its inputs as for ``add``. A widget without a value has that of the inside."""
        given = {**given, **(values or {})}
        self.root.subgraphs[subgraph.id] = subgraph
        inputs, saved = [], []
        for entry in subgraph.inputs:
            value = given.pop(entry["name"], None)
            data = {key: entry[key] for key in ("name", "label", "type", "shape") if key in entry}
            if entry["widget"]:
                data["widget"] = {"name": entry["name"]}
                if value is None or isinstance(value, Output):
                    saved.append(entry["default"])
                else:
                    saved.append(value)
            inputs.append((data, value if isinstance(value, Output) else None))
        if given:
            raise KeyError(f"{subgraph.name} has no input {', '.join(given)}")
        outputs = [(entry["name"], entry["type"]) for entry in subgraph.outputs]
        node = self._put(subgraph.id, at, size, title or subgraph.name, 0, inputs, outputs, saved)
        node.data["properties"] = {
            "cnr_id": "styo",
            "previewExposures": [
                {"name": PREVIEW, "sourceNodeId": str(inner), "sourcePreviewName": PREVIEW} for inner in subgraph.shown
            ],
        }
        return node

    def group(self, title: str, at: Place, size: Place, colour: str):
        """A coloured frame."""
        data = {"id": len(self.groups) + 1, "title": title, "bounding": [*at, *size], "color": colour}
        self.groups.append({**data, "font_size": 28, "flags": {}})

    def _put(self, kind, at, size, title, mode, inputs, outputs, saved, more=None) -> Node:
        """Append a node and its links."""
        number = next(self.root.counters["node"])
        node = {"id": number, "type": kind, "pos": [*at], "size": [*size], "flags": {}, "order": len(self.nodes)}
        node |= {"mode": mode, "inputs": [], "outputs": [{"name": n, "type": t, "links": []} for n, t in outputs]}
        for slot, (data, source) in enumerate(inputs):
            link = None if source is None else self.link(source, number, slot)
            node["inputs"].append({**data, "link": link})
        if title:
            node["title"] = title
        pack = "styo" if kind.startswith("StyO") else "comfy-core"
        node["properties"] = {} if kind in NOTES else {"Node name for S&R": kind, "cnr_id": pack}
        self.nodes.append({**node, "widgets_values": saved, **(more or {})})
        return Node(self.nodes[-1])

    def link(self, source: Output, target: int, slot: int) -> int:
        """Link an output to an input slot; returns the link's id."""
        number = next(self.root.counters["link"])
        link = {"id": number, "origin_id": source.node, "origin_slot": source.slot}
        self.links.append({**link, "target_id": target, "target_slot": slot, "type": source.kind})
        for node in self.nodes:
            if node["id"] == source.node:
                node["outputs"][source.slot]["links"].append(number)
        self._lead(number, source.path)
        return number

    def _lead(self, link: int, path: Iterable[Place]):
        """Lead a link through reroutes, in order; wires that share the way there share the reroute."""
        parent = None
        for x, y in path:
            found = [r for r in self.reroutes if r["pos"] == [x, y] and r.get("parentId") == parent]
            if found:
                found[0]["linkIds"].append(link)
            else:
                data = {"id": next(self.root.counters["reroute"])} | ({"parentId": parent} if parent else {})
                self.reroutes.append({**data, "pos": [x, y], "linkIds": [link]})
                found = self.reroutes[-1:]
            parent = found[0]["id"]
        if parent:
            self.links[-1]["parentId"] = parent

    def file(self, **extra) -> dict:
        """The whole workflow, as it is written."""
        last = {kind: next(counter) - 1 for kind, counter in self.counters.items()}
        rows = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        if self.reroutes:
            leads = [{"id": link["id"], "parentId": link["parentId"]} for link in self.links if "parentId" in link]
            extra = {**extra, "reroutes": self.reroutes, "linkExtensions": leads}
        return {
            "id": identity(self.name),
            "revision": 0,
            "last_node_id": last["node"],
            "last_link_id": last["link"],
            "nodes": self.nodes,
            "links": [[link[row] for row in rows] for link in self.links],
            "groups": self.groups,
            "definitions": {"subgraphs": [subgraph.definition(last) for subgraph in self.subgraphs.values()]},
            "config": {},
            "extra": extra,
            "version": 0.4,
        }


PREVIEW = "$$canvas-image-preview"
"""What the page calls a picture shown on a node."""


class Subgraph(Graph):
    """The inside of a subgraph: its inputs appear on the outside as sockets, or as widgets."""

    def __init__(self, name: str, parent: Graph, description: str, category: str = "StyO"):
        super().__init__(name, parent.info, parent)
        self.id = identity(f"{parent.root.name}/{name}")
        self.description, self.category = description, category
        self.inputs: list[dict] = []
        self.outputs: list[dict] = []
        self.shown: list[int] = []

    def input(self, name: str, kind: str, optional: bool = False) -> Output:
        """A socket on the outside."""
        return self._input(name, kind, optional=optional, widget=False)

    def widget(self, name: str, kind: str, value: str | int | float | bool, label: str | None = None) -> Output:
        """A widget on the outside that sets every inner widget it is linked to."""
        return self._input(name, kind, label=label, widget=True, default=value)

    def _input(self, name: str, kind: str, label=None, optional=False, widget=False, default=None) -> Output:
        entry = {"name": name, "type": kind, "widget": widget, "default": default}
        entry |= {"label": label} if label else {}
        self.inputs.append(entry | ({"shape": 7} if optional else {}))
        return Output(INPUTS, len(self.inputs) - 1, kind)

    def output(self, name: str, source: Output):
        """An output on the outside."""
        self.outputs.append({"name": name, "type": source.kind})
        self.link(source, OUTPUTS, len(self.outputs) - 1)

    def show(self, node: Node):
        """Show what this node draws while it works on the outside."""
        self.shown.append(node.data["id"])

    def definition(self, last: dict[str, int]) -> dict:
        """The subgraph as a workflow file carries it."""
        right = max((node["pos"][0] + node["size"][0] for node in self.nodes), default=0) + 80
        state = {"lastGroupId": len(self.groups), "lastNodeId": last["node"], "lastLinkId": last["link"]}
        ends = {
            "inputNode": {"id": INPUTS, "bounding": [-260, 0, 160, 40 + 20 * len(self.inputs)]},
            "outputNode": {"id": OUTPUTS, "bounding": [right, 0, 160, 40 + 20 * len(self.outputs)]},
        }
        return {
            "id": self.id,
            "version": 1,
            "state": {**state, "lastRerouteId": last["reroute"]},
            "revision": 0,
            "config": {},
            "name": self.name,
            **ends,
            "inputs": [self._end(INPUTS, slot, entry) for slot, entry in enumerate(self.inputs)],
            "outputs": [self._end(OUTPUTS, slot, entry) for slot, entry in enumerate(self.outputs)],
            "widgets": [],
            "nodes": self.nodes,
            "groups": self.groups,
            "links": self.links,
            "extra": {},
            "category": self.category,
            "description": self.description,
        }

    def _end(self, end: int, slot: int, entry: dict) -> dict:
        """An entry of the inputs or outputs of the definition."""
        side = ("origin_id", "origin_slot") if end == INPUTS else ("target_id", "target_slot")
        links = [link["id"] for link in self.links if (link[side[0]], link[side[1]]) == (end, slot)]
        kept = {key: entry[key] for key in ("name", "label", "type", "shape") if key in entry}
        return {"id": identity(f"{self.id}/{end}/{slot}"), **kept, "linkIds": links}


def specs(info: dict) -> list[tuple[str, list]]:
    """The inputs of a node as the server describes them, in order."""
    return [*info["input"].get("required", {}).items(), *info["input"].get("optional", {}).items()]


def default(spec: list) -> str | int | float | bool:
    """The value of a widget that nobody has set."""
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if "default" in options:
        return options["default"]
    choices = kind if isinstance(kind, list) else options.get("options")
    return choices[0] if choices else {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(kind, "")


def identity(name: str) -> str:
    """An id that is the same whenever a file is made again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"styo/{name}"))


def write(path: Path, workflow: dict):
    """Save a workflow file, one line a node."""
    path.write_text(_lines(workflow) + "\n", "utf-8")


def _lines(value, opened: tuple[str, ...] = ("nodes", "definitions", "subgraphs")) -> str:
    """JSON in which a dict has a line for each entry, and so have the lists of these names."""
    if isinstance(value, list):
        return "[" + ",".join(f"\n{_lines(entry) if 'nodes' in entry else _json(entry)}" for entry in value) + "\n]"
    entries = [(key, _lines(entry) if key in opened and entry else _json(entry)) for key, entry in value.items()]
    return "{" + ",".join(f"\n{_json(key)}: {text}" for key, text in entries) + "\n}"


def _json(value) -> str:
    return json.dumps(value, ensure_ascii=False)
