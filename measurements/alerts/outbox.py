"""The outbox: sends what is stored for each alert hook, for as long as it takes.

Each hook has a thread and an event loop of its own, so that one that hangs, fails or blocks delays no other, and none
the measuring. A worker puts marked news into messages, tries them one at a time, and marks what came of it in the
store: what was delivered and not marked, because the process was killed between the two, is sent again under the same
id. It is woken when news are stored, and otherwise looks rarely. Where programs share a database, one of them sends,
and looks often, for another one may store the news.

What hooks say when they fail is shown to people and must hold no secret; an exception that is no `HookFailed` is told
by its type only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from measurements.alerts.notice import Hook, HookFailed, Notice
from measurements.alerts.pace import Health, Patience
from measurements.alerts.routing import Rule
from measurements.store.claims import Claims
from measurements.store.deliveries import Deliveries, Message
from measurements.store.errors import StoreError

GRACE = 2.0  # seconds for which an attempt may go on when the outbox is closed, and after it was told to end
_ROOM = 300  # characters of an answer or of a reason that are kept

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Posting:
    """One alert as the outbox sees it: its rule, how its hook is made, and a digest of its settings.

    Two are equal when their rules and settings are.
    """

    rule: Rule
    setting: str
    make: Callable[[], Hook] = field(compare=False, repr=False)
    public_url: str = ""

    @property
    def name(self) -> str:
        return self.rule.name


class Box(Protocol):
    """What the outbox needs of a store."""

    @property
    def deliveries(self) -> Deliveries: ...
    @property
    def claims(self) -> Claims: ...


class Outbox:
    """Sends what waits, until it is closed. `now` is the wall clock, `clock` one that is never set, in seconds."""

    def __init__(
        self,
        store: Box,
        *,
        patience: Patience | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._patience = patience or Patience()
        self._now, self._clock, self._chance = now, clock, chance
        self._workers: dict[str, _Worker] = {}
        self.names: frozenset[str] = frozenset()  # of all alerts in the settings, also those that are busy or off
        self._guard = threading.Lock()
        self._last_soon = -1e9

    def use(self, postings: Iterable[Posting]) -> None:
        """Send for these alerts from now on; those that are as before go on undisturbed."""
        wanted = {posting.name: posting for posting in postings}
        with self._guard:
            self.names = frozenset(wanted)
            left = [worker for name, worker in self._workers.items() if wanted.get(name) != worker.posting]
            for worker in left:
                worker.stop()
            end = time.monotonic() + GRACE
            for worker in left:
                worker.join(end)
            for worker in left:
                worker.cut_off()
            for worker in left:
                worker.join(end + GRACE)
                del self._workers[worker.posting.name]
            for name, posting in wanted.items():
                if name not in self._workers:
                    worker = _Worker(self, posting, self._patience)
                    self._workers[name] = worker
                    worker.start()

    def wake(self) -> None:
        """Say that news were stored."""
        for worker in list(self._workers.values()):
            worker.wake()

    def try_soon(self) -> None:
        """Say that the network works again: what waits after failures is tried now, though not too often."""
        at = self._clock()
        if at - self._last_soon < self._patience.soon:
            return
        self._last_soon = at
        for worker in list(self._workers.values()):
            worker.try_soon()

    def close(self) -> None:
        """Stop sending; attempts have a few seconds to end, and what did not is sent again at the next start."""
        self.use(())

    @property
    def store(self) -> Box:
        return self._store

    def times(self) -> tuple[float, float]:
        """Return both clocks, the wall's first."""
        return self._now(), self._clock()

    def chance(self) -> float:
        return self._chance()


class _Worker:
    """Sends for one hook, in a thread of its own."""

    def __init__(self, outbox: Outbox, posting: Posting, patience: Patience) -> None:
        self.posting = posting
        self._outbox = outbox
        self._deliveries, self._claims = outbox.store.deliveries, outbox.store.claims
        self._patience = patience
        self._health = Health(patience, outbox.chance)
        self._woken = threading.Event()
        self._soon = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"wazi-alert-{posting.name}", daemon=True)
        self._loop = asyncio.new_event_loop()
        self._attempt: asyncio.Task[str] | None = None
        self._hook: Hook | None = None
        self._entered = False
        self._disabled = False
        self._lived = 0.0  # when it was last known
        self._lived_at = 0.0  # on the clock that is never set
        self._seen: tuple[float, float] | None = None  # both clocks at the last look
        self._alive = -1e9  # when that was last noted
        self._trouble = ""
        self._unmarked: Callable[[], None] | None = None  # what came of an attempt, until the store knows

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def try_soon(self) -> None:
        self._soon = True
        self._woken.set()

    def stop(self) -> None:
        """Ask it to end."""
        self._stopping = True
        self._woken.set()

    def join(self, end: float) -> None:
        """Wait until it has ended, or until a moment of the monotonic clock."""
        self._thread.join(max(0.0, end - time.monotonic()))

    def cut_off(self) -> None:
        """Cut off an attempt that goes on though it was asked to end."""
        if self._thread.is_alive():
            log.warning("alert %s is cut off while it sends, and sends that again", self.posting.name)
            with contextlib.suppress(RuntimeError):  # it ended just now
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while not self._stopping:
                self._woken.clear()
                pause = self._carefully()
                if pause > 0 and not self._stopping:
                    self._woken.wait(pause)
        finally:
            self._claims.release(self.posting.name)
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=1.0))
            if not asyncio.all_tasks(self._loop):
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.close()

    def _carefully(self) -> float:
        """Do one step; return after how many seconds to do the next. What goes wrong is said once."""
        try:
            pause = self._step()
        except StoreError as error:
            self._complain(f"alert {self.posting.name} waits: {error}", None)
            return self._patience.away
        except Exception as error:  # or nothing would ever be sent again
            self._complain(f"alert {self.posting.name} waits, for a mistake of this program: {error!r}", error)
            return self._patience.away
        self._trouble = ""
        return pause

    def _complain(self, why: str, error: Exception | None) -> None:
        if why != self._trouble:
            log.error("%s", why, exc_info=error)
        self._trouble = why

    def _step(self) -> float:
        if self._unmarked is not None:
            self._unmarked()
            self._unmarked = None
        if not self._claims.hold(self.posting.name):
            self._entered = False
            return self._patience.poll
        now, clock = self._outbox.times()
        if not self._entered:
            self._enter(now, clock)
        if self._disabled:
            return self._patience.poll
        self._mind_the_clocks(now, clock)
        if self._soon:
            self._soon = False
            self._health.soon()
            self._deliveries.look_again(self.posting.name, now)
        message = self._next(now, clock)
        if message is None:
            return self._until_next(now, clock)
        self._try(message)
        return 0.0

    def _enter(self, now: float, clock: float) -> None:
        """Begin to send for this hook, as if its network had just come back."""
        known = self._deliveries.enter(self.posting.name, self.posting.setting, now)
        self._deliveries.look_again(self.posting.name, now)
        self._lived, self._lived_at = known.lived, clock
        self._disabled = bool(known.disabled)
        if self._disabled:
            log.warning("alert %s is switched off until its settings change: %s", self.posting.name, known.disabled)
        self._entered = True

    def _mind_the_clocks(self, now: float, clock: float) -> None:
        """Look at everything again where the wall clock was set."""
        if self._seen is not None:
            was, at = self._seen
            if abs((now - was) - (clock - at)) > 30.0:
                log.warning("the clock was set: alert %s looks at everything that waits again", self.posting.name)
                self._deliveries.look_again(self.posting.name, now)
        self._seen = (now, clock)
        if clock - self._alive > 3600.0:
            self._alive = clock
            self._deliveries.alive(self._outbox.names, now)

    def _next(self, now: float, clock: float) -> Message | None:
        """Return the message to be tried now: turn by turn one that failed before and a new one.

        News are put into messages only when no new message is left, so that what waits together leaves together.
        """
        health, name = self._health, self.posting.name
        if clock < health.news:
            return None
        for new in (True,) if clock < health.hold else (False, True) if health.was_new else (True, False):
            message = self._deliveries.message(name, now, new=new)
            if message is None and new:
                self._compose(now, clock, 1 if health.is_down else None)
                message = self._deliveries.message(name, now, new=True)
            if message is not None:
                health.was_new = new
                return message
        return None

    def _compose(self, now: float, clock: float, most: int | None) -> None:
        """Put news that may leave into messages."""
        if not self._deliveries.has_news(self.posting.name, now):
            return
        age, url = self._age(clock), self.posting.public_url
        lost = self._deliveries.compose(self.posting.rule, now, age, public_url=url, most=most)
        if lost:
            log.error("alert %s: news of %d events were given up, they waited too long", self.posting.name, lost)

    def _until_next(self, now: float, clock: float) -> float:
        due = self._deliveries.next_due(self.posting.name)
        pauses = [self._patience.shared if self._claims.is_shared else self._patience.poll]
        if due is not None:
            pauses.append(max(due - now, 0.01))
        pause = min(pauses)
        if clock < self._health.hold:
            held = [until - clock for until in (self._health.news, self._health.hold) if until > clock]
            pause = min(max(pause, min(held)), self._patience.poll)
        return pause

    def _try(self, message: Message) -> None:
        """Try one message, and mark what came of it."""
        name = self.posting.name
        if message.notice is None:
            now, clock = self._outbox.times()
            why = "what it tells of cannot be read any more"
            log.error("alert %s: a message was given up, %s", name, why)
            self._mark(lambda: self._deliveries.give_up(name, message.id, now, self._age(clock), why))
            return
        try:
            answer = self._loop.run_until_complete(self._deliver(message.notice))
        except asyncio.CancelledError:
            return  # the outbox is being closed
        except HookFailed as failed:
            self._failed(message, failed)
            return
        now, clock = self._outbox.times()
        was_down = self._health.works()
        self._mark(
            lambda: self._deliveries.delivered(
                name, message.id, now, self._age(clock), " ".join(answer.split())[:_ROOM]
            )
        )
        if was_down:
            log.info("alert %s works again", name)
            self._soon = True
            self._outbox.try_soon()

    async def _deliver(self, notice: Notice) -> str:
        """Let the hook deliver, for so long and no longer; whatever goes wrong is a HookFailed."""
        try:
            if self._hook is None:
                self._hook = self.posting.make()
            self._attempt = asyncio.ensure_future(_answer(self._hook, notice))
            done, _ = await asyncio.wait({self._attempt}, timeout=self._patience.attempt)
            if not done:
                self._attempt.cancel()
                await asyncio.wait({self._attempt}, timeout=min(GRACE, self._patience.attempt))
                raise HookFailed(f"it was not done after {self._patience.attempt:g} seconds")
            if self._attempt.cancelled() and not self._stopping:
                raise HookFailed("the hook cancelled itself")
            return self._attempt.result()
        except HookFailed:
            raise
        except Exception as error:
            log.error("alert %s failed by %s", self.posting.name, type(error).__name__)
            raise HookFailed(f"the hook failed by {type(error).__name__}") from None
        finally:
            self._attempt = None

    def _failed(self, message: Message, failed: HookFailed) -> None:
        name, why = self.posting.name, " ".join(str(failed).split())[:_ROOM]
        now, clock = self._outbox.times()
        age = self._age(clock)
        self._health.fails(message.id, clock, asked=failed.retry_after)
        if failed.gone:
            log.error("alert %s is switched off until its settings change: %s", name, why)
            self._disabled = True
            self._mark(lambda: self._deliveries.disable(name, now, age, why))
            return
        if age - message.born > self.posting.rule.give_up:
            log.error("alert %s: a message was given up after %d attempts: %s", name, message.attempts + 1, why)
            self._mark(lambda: self._deliveries.give_up(name, message.id, now, age, why))
            return
        pause = self._patience.backoff(message.attempts + 1, self._outbox.chance())
        if failed.retry_after is not None:
            pause = max(pause, self._health.wait(failed.retry_after))
        log.warning("alert %s was not delivered, again in %.0f seconds: %s", name, pause, why)
        self._mark(lambda: self._deliveries.failed(name, message.id, now, age, why, now + pause))

    def _mark(self, mark: Callable[[], None]) -> None:
        """Store what came of an attempt; until that is done nothing else is tried."""
        self._unmarked = mark
        mark()
        self._unmarked = None

    def _age(self, clock: float) -> float:
        """Return for how many seconds this hook was ready to send, in all its lives."""
        return self._lived + clock - self._lived_at


async def _answer(hook: Hook, notice: Notice) -> str:
    """Ask a hook; what would end the thread is a failure like any other, and its text is told to nobody."""
    try:
        return str(await hook(notice))
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        log.error("an alert's hook tried to end the program by %s", type(error).__name__)
        raise HookFailed(f"the hook failed by {type(error).__name__}") from None
