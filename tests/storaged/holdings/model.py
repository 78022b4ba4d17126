"""What a node should say, written down as plainly as the rules: who holds what, until when, and who may."""

from __future__ import annotations

from dataclasses import dataclass, field

SKEW = 2_000
TEN_MINUTES = 600_000

Name = tuple[int, int]  # of a lease: its owner and its batch


@dataclass
class Terms:
    """What a message says of a lease."""

    name: Name
    serial: int
    deadline: int
    ttl: int


@dataclass
class Running:
    """A lease as the node should have it."""

    serial: int
    deadline: int
    until: int


@dataclass
class Reservation:
    until: int
    returns: int
    counted: bool = False


@dataclass
class Downloads:
    """Of the one item that may be fetched a number of times."""

    limit: int
    taken: int = 0
    reserved: dict[int, Reservation] = field(default_factory=dict)
    returned: list[int] = field(default_factory=list)

    def pass_time(self, now: int) -> None:
        for key, each in list(self.reserved.items()):
            if each.until <= now:
                self.taken += not each.counted
                del self.reserved[key]

    @property
    def under_way(self) -> int:
        return sum(not each.counted for each in self.reserved.values())

    def claim(self, key: int, now: int) -> str:
        if key in self.reserved:
            return "done"
        if self.taken >= self.limit:
            return "NotFound"
        if self.taken + self.under_way >= self.limit:
            return "Busy"
        returns = max(self.returned, default=0)
        if returns:
            self.returned.remove(returns)
        self.reserved[key] = Reservation(now + TEN_MINUTES, returns)
        return "done"

    def give_back(self, key: int) -> str:
        reservation = self.reserved.pop(key, None)
        if reservation is None:
            return "NotFound"
        if reservation.returns == 2:
            self.taken += not reservation.counted
        else:
            self.taken -= reservation.counted
            self.returned.append(reservation.returns + 1)
        return "done"

    def fetch(self, key: int) -> str:
        reservation = self.reserved.get(key)
        if reservation is None:
            return "NotAllowed"
        self.taken += not reservation.counted
        reservation.counted = True
        return "done"


class Model:
    """The outcome of every request is "done" or the name of an error."""

    def __init__(self, now: int, *, durable: bool, limited: int, limit: int) -> None:
        self.durable = durable
        self.limited, self.limit = limited, limit
        self.ended: set[tuple[int, int | None]] = set()
        self.start(now)

    def start(self, now: int) -> None:
        """The process begins."""
        self.started = now
        if not self.durable or not hasattr(self, "leases"):
            self.ended = set()
            self.leases: dict[Name, Running] = {}
            self.held: dict[int, set[Name]] = {}
            self.since: dict[int, int] = {}
            self.downloads = Downloads(self.limit)

    def pass_time(self, now: int) -> None:
        """What is over is gone."""
        over = {name for name, each in self.leases.items() if each.until <= now}
        self._take_away(over)
        self.downloads.pass_time(now)

    def remaining(self, item: int, now: int) -> int:
        return max((self.leases[name].until - now for name in self.held.get(item, ())), default=0)

    def put(self, item: int, terms: Terms, now: int) -> str:
        refused = self._refused(terms, now)
        if refused:
            return refused
        running = self.leases.get(terms.name)
        if running is None:
            until = min(terms.deadline, now + terms.ttl)
            self.leases[terms.name] = Running(terms.serial, terms.deadline, until)
        elif terms.serial > running.serial:
            return "Conflict"
        self.since.setdefault(item, now)
        self.held.setdefault(item, set()).add(terms.name)
        return "done"

    def renew(self, terms: Terms, now: int) -> str:
        refused = self._refused(terms, now)
        if refused:
            return refused
        running = self.leases.get(terms.name)
        if running is None:
            return "NotFound"
        if (terms.serial, terms.deadline) == (running.serial, running.deadline):
            return "done"
        if terms.serial <= running.serial or not self._renewed(running, terms, now):
            return "Conflict"
        return "done"

    def end(self, owner: int, batch: int | None) -> int:
        self.ended.add((owner, batch))
        over = {name for name in self.leases if name[0] == owner and batch in (None, name[1])}
        count = sum(len(names & over) for names in self.held.values())
        self._take_away(over)
        return count

    def _refused(self, terms: Terms, now: int) -> str:
        owner, batch = terms.name
        begins = terms.deadline - terms.ttl
        if terms.deadline <= now:
            return "UsageError"
        if begins > now + SKEW:
            return "ClockRefused"
        if {(owner, batch), (owner, None)} & self.ended:
            return "NotAllowed"
        running = self.leases.get(terms.name)
        runs = (
            running is not None and running.until > now
        )  # then it was not ended, however old it is
        if not self.durable and begins < self.started and not runs:
            return "NotAllowed"
        return ""

    def _renewed(self, running: Running, terms: Terms, now: int) -> bool:
        if terms.deadline <= running.deadline:
            return False
        running.serial, running.deadline = terms.serial, terms.deadline
        running.until = max(running.until, min(terms.deadline, now + terms.ttl))
        return True

    def _take_away(self, names: set[Name]) -> None:
        for item in list(self.held):
            self.held[item] -= names
            if not self.held[item]:
                del self.held[item], self.since[item]
                if item == self.limited:
                    self.downloads = Downloads(self.limit)
        held = set().union(*self.held.values()) if self.held else set()
        self.leases = {name: each for name, each in self.leases.items() if name in held}
