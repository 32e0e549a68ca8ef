"""The text that the page shows below a node while it runs."""

from __future__ import annotations

import logging
import threading

import server

OURS = "StyO: "
"""What the pack's warnings begin with in the log."""


class NodeText(logging.Handler):
    """The warnings that the pack logs while this is entered, which stay, and below them the newest line shown."""

    def __init__(self, node_id: str | None):
        super().__init__(logging.WARNING)
        self._node_id = node_id
        self._warnings: list[str] = []
        self._line = ""
        self._thread = threading.get_ident()

    def __enter__(self) -> NodeText:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord):
        message = record.getMessage()
        if message.startswith(OURS) and record.thread == self._thread:
            self._warnings.append(message.removeprefix(OURS))
            self._send()

    def show(self, line: str):
        """Show ``line`` in place of the one before."""
        self._line = line
        self._send()

    def _send(self):
        prompt_server = getattr(server.PromptServer, "instance", None)
        if prompt_server is not None and self._node_id is not None:
            prompt_server.send_progress_text("\n".join(filter(None, [*self._warnings, self._line])), self._node_id)
