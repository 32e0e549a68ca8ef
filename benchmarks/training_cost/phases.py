"""Where a step's time goes: the exclusive seconds of named phases."""

from __future__ import annotations

import collections
import contextlib
import functools
from collections.abc import Callable
from unittest import mock

from shared.measure import Meter
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

OPTIMIZER, REST = "optimizer", "rest"


class Phases:
    """Seconds by phase; a phase begun within another interrupts it. The device is waited for at every change."""

    def __init__(self, meter: Meter):
        self.seconds: collections.Counter[str] = collections.Counter()
        self._meter, self._running, self._since = meter, [REST], 0.0

    def watch(self, work: Callable[[], None], parts: list[tuple[object, str, str]]):
        """Run ``work``; every (object, name, phase) of ``parts`` is a function whose time counts as that phase's."""
        with contextlib.ExitStack() as stack:
            for owner, name, phase in parts:
                timed = functools.partial(self._timed, getattr(owner, name), phase)
                stack.enter_context(mock.patch.object(owner, name, timed))
            stack.callback(register_optimizer_step_pre_hook(lambda *_: self._begin(OPTIMIZER)).remove)
            stack.callback(register_optimizer_step_post_hook(lambda *_: self._end()).remove)
            self._since = self._meter.now()
            work()
            self._account()

    def _timed(self, function: Callable, phase: str, *args, **kwargs):
        self._begin(phase)
        try:
            return function(*args, **kwargs)
        finally:
            self._end()

    def _begin(self, name: str):
        self._account()
        self._running.append(name)

    def _end(self):
        self._account()
        self._running.pop()

    def _account(self):
        now = self._meter.now()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now
