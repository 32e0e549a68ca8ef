"""Workflows as the ComfyUI page saves them: changing them, and translating them to what its server runs."""

from __future__ import annotations

import copy
import json
from pathlib import Path

ACTIVE, MUTED, BYPASSED = 0, 2, 4
NOTES = ("Note", "MarkdownNote")
WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
CONTROL = "control_after_generate"
SEEDS = ("seed", "noise_seed")
"""Whole numbers of these names get a control widget unless their node says otherwise."""
Value = str | int | float | bool | list


class Workflow:
    """A saved graph, with the server's descriptions of its nodes (``/object_info``)."""

    def __init__(self, graph: dict, object_info: dict):
        self.graph = copy.deepcopy(graph)
        self._info = object_info
        self._nodes = {node["id"]: node for node in self.graph["nodes"]}
        self._links = {link[0]: (link[1], link[2]) for link in self.graph["links"]}

    @classmethod
    def load(cls, path: Path, object_info: dict) -> Workflow:
        """The workflow of a file."""
        return cls(json.loads(path.read_text("utf-8")), object_info)

    def node(self, title: str) -> dict:
        """The one node with this title, or of this type where it has none."""
        (found,) = [node for node in self.graph["nodes"] if (node.get("title") or node["type"]) == title]
        return found

    def id(self, title: str) -> str:
        """The id of a node, as the server calls it."""
        return str(self.node(title)["id"])

    def value(self, title: str, name: str) -> Value:
        """What a widget of a node is set to."""
        node = self.node(title)
        return node["widgets_values"][self._widgets(node).index(name)]

    def set(self, title: str, **values: Value):
        """Give widgets of a node new values, and make the node active."""
        node = self.node(title)
        names = self._widgets(node)
        for name, value in values.items():
            node["widgets_values"][names.index(name)] = value
        node["mode"] = ACTIVE

    def prompt(self) -> dict[str, dict]:
        """The graph in the server's format: active nodes only, links leading past reroutes and bypassed nodes."""
        prompt = {}
        for node in self.graph["nodes"]:
            kind = node["type"]
            if node.get("mode", ACTIVE) != ACTIVE or kind in (*NOTES, "Reroute", "PrimitiveNode"):
                continue
            if kind not in self._info:
                raise ValueError(f"The server has no node '{kind}'.")
            inputs = dict(zip(self._widgets(node), node.get("widgets_values") or [], strict=False))
            inputs.pop(CONTROL, None)
            for slot in node.get("inputs", []):
                if slot.get("link") is not None:
                    inputs.pop(slot["name"], None)
                    if (value := self._value(slot["link"])) is not None:
                        inputs[slot["name"]] = value
            prompt[str(node["id"])] = {"class_type": kind, "inputs": inputs}
        return prompt

    def _widgets(self, node: dict) -> list[str]:
        """The names of a node's widgets in the order their values are saved."""
        names = []
        inputs = self._info[node["type"]]["input"]
        for name, spec in {**inputs.get("required", {}), **inputs.get("optional", {})}.items():
            kind, options = spec[0], spec[1] if len(spec) > 1 else {}
            if (isinstance(kind, list) or kind in WIDGET_TYPES) and not options.get("forceInput"):
                names.append(name)
                if options.get(CONTROL, name in SEEDS):
                    names.append(CONTROL)
        return names

    def _value(self, link: int) -> Value | None:
        """What a link brings: a node's output as [id, slot], a primitive's value, or None from what is switched off."""
        source, slot = self._links[link]
        node = self._nodes[source]
        mode = node.get("mode", ACTIVE)
        if mode == MUTED:
            return None
        if node["type"] == "PrimitiveNode":
            return node["widgets_values"][0]
        if mode == BYPASSED or node["type"] == "Reroute":
            passed = self._passed_through(node, slot)
            return None if passed is None else self._value(passed)
        return [str(source), slot]

    @staticmethod
    def _passed_through(node: dict, slot: int) -> int | None:
        """The link a bypassed node or a reroute hands on: the input in the output's place, else of its type."""
        inputs = node.get("inputs", [])
        if node["type"] == "Reroute":
            return inputs[0].get("link")
        kind = node["outputs"][slot]["type"]
        candidates = inputs[slot : slot + 1] + inputs
        return next((entry.get("link") for entry in candidates if entry["type"] == kind), None)
