"""How soon a message is tried again: pure arithmetic.

A message that failed waits twice as long each time, by lot a half more or less, up to some hours. A hook of which three
different messages failed in a row is *down*: then it is asked as often as one message would be, now with an old one,
now with new ones, and what is new meanwhile is not put into messages, so that it can still be told as it stands when
the hook works again. One message that a receiver never takes holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

DOWN = 3  # messages in a row that failed


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Times in seconds. `scaled` makes all of them shorter, for tests and benches."""

    first: float = 5.0  # after a first failure
    most: float = 2 * 3600.0  # between two attempts
    news: float = 300.0  # at most, until something new is tried with a hook that is down
    attempt: float = 60.0  # one attempt may take
    asked: float = 6 * 3600.0  # at most, when a receiver asked to wait
    soon: float = 30.0  # at least, between two times that everything is tried at once
    poll: float = 30.0  # between two looks when nobody says that there is something
    shared: float = 1.5  # between two looks where another program may store news, which wakes nobody here
    away: float = 2.0  # after the database failed

    def scaled(self, factor: float) -> Patience:
        """Return the same with every time `factor` times as long."""
        return replace(self, **{name: getattr(self, name) * factor for name in self.__dataclass_fields__})

    def backoff(self, failures: int, chance: float) -> float:
        """Return how long to wait after so many failures; `chance` is from 0 to 1."""
        return min(self.most, self.first * 2.0 ** min(failures - 1, 40)) * (0.5 + chance)


@dataclass
class Health:
    """How a hook does since its last success, by a clock that is never set. `chance` gives a number from 0 to 1."""

    patience: Patience
    chance: Callable[[], float]
    failed: set[str] = field(default_factory=set)
    streak: int = 0
    hold: float = 0.0  # until when nothing is tried
    news: float = 0.0  # until when nothing new is
    was_new: bool = False  # the last message that was tried

    @property
    def is_down(self) -> bool:
        """Whether it is the hook that fails, and not a message."""
        return len(self.failed) >= DOWN

    def works(self) -> bool:
        """Note a success; returns whether it was down."""
        was_down = self.is_down
        self.failed.clear()
        self.streak, self.hold, self.news = 0, 0.0, 0.0
        return was_down

    def fails(self, message: str, now: float, *, asked: float | None) -> None:
        """Note a failure; `asked` is how long the receiver asked to wait."""
        self.failed.add(message)
        self.streak += 1
        if self.is_down:
            pause = self.patience.backoff(self.streak - DOWN + 1, self.chance())
            self.hold, self.news = now + pause, now + min(pause, self.patience.news)
        if asked is not None:
            self.hold = self.news = max(self.hold, now + self.wait(asked))

    def wait(self, asked: float) -> float:
        """Return how long a receiver's wish is granted."""
        return min(max(asked, 0.0), self.patience.asked)

    def soon(self) -> None:
        """Let everything be tried at once: the network is back, perhaps."""
        self.hold = self.news = 0.0
        self.streak = min(self.streak, DOWN)
