"""Reads the settings again while `wazi run` goes on: on SIGHUP, and when a file that has a say in them was changed.

What is wrong is refused in the words of `wazi config check`, once, and the old settings stay in force. Since the file
that was to blame may be one that only the refused settings name, they are tried again from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from probe.heartbeat import SettingsState
from probe.settings import Settings, SettingsError
from probe.settings.changes import changes, needs_restart
from probe.settings.watching import Watch

LOOK_EVERY = 5.0  # seconds between two looks at the files; nothing is read by it
SETTLED = 2.0  # seconds for which a file must stand still
TRY_AGAIN = 30.0  # seconds after which what was refused is tried again

log = structlog.get_logger("wazi.settings")


class Reloading:
    """Watches the settings that a probe was started with; `take` is given those that replace them.

    `now` is the wall clock, and `tell` says a sentence to whoever sits at a terminal.
    """

    def __init__(
        self,
        started_with: Settings,
        *,
        read: Callable[[], Settings],
        take: Callable[[Settings], Awaitable[None]],
        tell: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self.asked = asyncio.Event()
        self.state = SettingsState(read=now())
        self._started_with = self._settings = started_with
        self._read, self._take, self._tell, self._now = read, take, tell, now
        self._watch = Watch(started_with.files)
        self._tried = 0.0

    async def go_on(self) -> None:
        """Watch until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.asked.wait(), SETTLED if self._watch.restless else LOOK_EVERY)
            asked = self.asked.is_set()
            self.asked.clear()
            changed = self._watch.look()
            if emptied := self._watch.emptied:
                log.debug("waiting for what was emptied to be written", files=[path.name for path in emptied])
            clock = asyncio.get_running_loop().time()
            again = bool(self.state.refused) and not self._watch.restless and clock - self._tried >= TRY_AGAIN
            if asked or changed or again:
                self._tried = clock
                await self._try(asked=asked)

    async def _try(self, *, asked: bool) -> None:
        """Read and take; whatever is wrong with the new settings, the old ones stay."""
        try:
            settings = await asyncio.to_thread(self._read)
            if not self._watch.is_as_seen() and not asked:
                return  # they were changed while they were read, and will be read again
            await self._take(settings)
        except SettingsError as error:
            self._refuse(str(error), aloud=asked)
            return
        except Exception as error:  # or nobody would watch any more
            log.exception("the settings could not be taken")
            self._refuse(f"a mistake in Wazi kept the settings from being taken ({type(error).__name__})", aloud=asked)
            return
        told = changes(self._settings, settings)
        waiting = needs_restart(self._started_with, settings)
        log.info("settings taken", changes=told, needs_restart=waiting)
        for sentence in [f"settings taken: {what}" for what in told or ["nothing changed"]] + waiting:
            self._tell(sentence)
        self._settings = settings
        self.state = SettingsState(read=self._now(), waiting=tuple(waiting))
        self._watch.take(settings.files)

    def _refuse(self, problems: str, *, aloud: bool) -> None:
        """Say what is wrong, unless that was said already, and go on as before."""
        self._watch.leave()
        if problems == self.state.refused and not aloud:
            return
        log.warning("settings refused, the old ones stay", problems=problems.splitlines())
        self.state = SettingsState(read=self.state.read, refused=problems, waiting=self.state.waiting)
