"""Workflows as the ComfyUI page saves them: changing them, and translating them to what its server runs."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

ACTIVE, MUTED, BYPASSED = 0, 2, 4
NOTES = ("Note", "MarkdownNote")
WITHOUT_EXECUTION = ("Reroute", "PrimitiveNode")
SUBGRAPH_INPUTS = -10
"""The origin of links from a subgraph's inputs."""
WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
CONTROL = "control_after_generate"
SEEDS = ("seed", "noise_seed")
"""Whole numbers of these names get a control widget unless their node says otherwise."""
Value = str | int | float | bool | list


@dataclasses.dataclass(frozen=True)
class Scope:
    """The page itself, or the inside of a subgraph that stands on it: ``host`` is the node it stands there as."""

    prefix: str
    nodes: dict[int, dict]
    links: dict[int, tuple[int, int]]
    host: Place | None = None


class Place(NamedTuple):
    """A node and where it stands."""

    scope: Scope
    node: dict

    @property
    def id(self) -> str:
        """What the server calls the node."""
        return f"{self.scope.prefix}{self.node['id']}"


class Workflow:
    """A saved graph, with the server's descriptions of its nodes (``/object_info``)."""

    def __init__(self, graph: dict, object_info: dict):
        self.graph = copy.deepcopy(graph)
        self._info = object_info
        self._subgraphs = {entry["id"]: entry for entry in self.graph.get("definitions", {}).get("subgraphs", [])}
        links = {link[0]: (link[1], link[2]) for link in self.graph["links"]}
        self._inside: dict[str, Scope] = {}
        self._places = self._open(Scope("", {node["id"]: node for node in self.graph["nodes"]}, links))

    @classmethod
    def load(cls, path: Path, object_info: dict) -> Workflow:
        """The workflow of a file."""
        return cls(json.loads(path.read_text("utf-8")), object_info)

    def _open(self, scope: Scope) -> list[Place]:
        """The nodes of a scope, and of the subgraphs in it."""
        places = []
        for node in scope.nodes.values():
            places.append(place := Place(scope, node))
            if inner := self._subgraphs.get(node["type"]):
                links = {link["id"]: (link["origin_id"], link["origin_slot"]) for link in inner["links"]}
                nodes = {entry["id"]: entry for entry in inner["nodes"]}
                self._inside[place.id] = Scope(f"{place.id}:", nodes, links, place)
                places += self._open(self._inside[place.id])
        return places

    def titles(self) -> dict[str, str]:
        """What each node is called, by the server's name for it."""
        return {place.id: _title(place.node) for place in self._places}

    def node(self, title: str) -> dict:
        """The one node with this title, or of this type where it has none."""
        return self._find(title).node

    def id(self, title: str) -> str:
        """The id of a node, as the server calls it."""
        return self._find(title).id

    def value(self, title: str, name: str) -> Value:
        """What a widget of a node is set to, or the subgraph's widget that sets it."""
        values, index = self._widget(self._find(title), name)
        return values[index]

    def set(self, title: str, **values: Value):
        """Give widgets of a node new values, and make the node active."""
        place = self._find(title)
        for name, value in values.items():
            saved, index = self._widget(place, name)
            saved[index] = value
        place.node["mode"] = ACTIVE

    def prompt(self) -> dict[str, dict]:
        """The graph in the server's format: active nodes only, links leading past reroutes and bypassed nodes."""
        prompt = {}
        for place in self._places:
            kind = place.node["type"]
            if not self._active(place) or kind in (*NOTES, *WITHOUT_EXECUTION) or place.id in self._inside:
                continue
            if kind not in self._info:
                raise ValueError(f"The server has no node '{kind}'.")
            inputs = dict(zip(self._names(place.node), place.node.get("widgets_values") or [], strict=False))
            inputs.pop(CONTROL, None)
            for slot in place.node.get("inputs", []):
                if slot.get("link") is not None:
                    inputs.pop(slot["name"], None)
                    if (value := self._value(place.scope, slot["link"])) is not None:
                        inputs[slot["name"]] = value
            prompt[place.id] = {"class_type": kind, "inputs": inputs}
        return prompt

    def _find(self, title: str) -> Place:
        (found,) = [place for place in self._places if _title(place.node) == title]
        return found

    def _active(self, place: Place) -> bool:
        """Whether a node runs: it and every subgraph it stands in are switched on."""
        host = place.scope.host
        return place.node.get("mode", ACTIVE) == ACTIVE and (host is None or self._active(host))

    def _names(self, node: dict) -> list[str]:
        """The names of a node's widgets in the order their values are saved."""
        if node["type"] in self._subgraphs:
            return [slot["name"] for slot in node["inputs"] if "widget" in slot]
        return widget_names(self._info[node["type"]])

    def _widget(self, place: Place, name: str) -> tuple[list, int]:
        """Where a widget's value is saved: a list, and the place in it."""
        for slot in place.node.get("inputs", []):
            if slot["name"] == name and slot.get("link") is not None:
                origin, index = place.scope.links[slot["link"]]
                if origin == SUBGRAPH_INPUTS:
                    host = place.scope.host
                    return self._widget(host, host.node["inputs"][index]["name"])
        return place.node["widgets_values"], self._names(place.node).index(name)

    def _value(self, scope: Scope, link: int) -> Value | None:
        """What a link brings: a node's output as [id, slot], a widget's value, or None from what is switched off."""
        source, slot = scope.links[link]
        if source == SUBGRAPH_INPUTS:
            return self._handed_in(scope.host, slot)
        place = Place(scope, scope.nodes[source])
        node, mode = place.node, place.node.get("mode", ACTIVE)
        if mode == MUTED:
            return None
        if node["type"] == "PrimitiveNode":
            return node["widgets_values"][0]
        if mode == BYPASSED or node["type"] == "Reroute":
            passed = self._passed_through(node, slot)
            return None if passed is None else self._value(scope, passed)
        if inner := self._inside.get(place.id):
            (handed_out,) = self._subgraphs[node["type"]]["outputs"][slot]["linkIds"]
            return self._value(inner, handed_out)
        return [place.id, slot]

    def _handed_in(self, host: Place, slot: int) -> Value | None:
        """What a subgraph gets at an input."""
        entry = host.node["inputs"][slot]
        if entry.get("link") is not None:
            return self._value(host.scope, entry["link"])
        if "widget" not in entry:
            return None
        values, index = self._widget(host, entry["name"])
        return values[index]

    @staticmethod
    def _passed_through(node: dict, slot: int) -> int | None:
        """The link a bypassed node or a reroute hands on: the input in the output's place, else of its type."""
        inputs = node.get("inputs", [])
        if node["type"] == "Reroute":
            return inputs[0].get("link")
        kind = node["outputs"][slot]["type"]
        candidates = inputs[slot : slot + 1] + inputs
        return next((entry.get("link") for entry in candidates if entry["type"] == kind), None)


def widget_names(info: dict) -> list[str]:
    """The names of a node's widgets, from the server's description of it, in the order their values are saved."""
    names = []
    for name, spec in {**info["input"].get("required", {}), **info["input"].get("optional", {})}.items():
        kind, options = spec[0], spec[1] if len(spec) > 1 else {}
        if (isinstance(kind, list) or kind in WIDGET_TYPES) and not options.get("forceInput"):
            names.append(name)
            if options.get(CONTROL, name in SEEDS):
                names.append(CONTROL)
    return names


def _title(node: dict) -> str:
    return node.get("title") or node["type"]
