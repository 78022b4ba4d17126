"""What a scenario consists of, and how one is drawn from a seed: a table of traits.

Each trait draws from a generator of its own: a new row does not change what the others draw.
A row whose `needs` the core does not yet have is skipped: add the name to SUPPORTED when it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from repram.proto.primitives import Pattern, Suite
from tests.sim.apps import GREEDY, Appetite, Mail
from tests.sim.exchange import Request
from tests.sim.link import Burst, LinkSettings
from tests.sim.traitor import BREACHES, Breach

KIB = 1024
MS = 1000
SECOND = 1_000_000

#: What the core can do by now beyond the plain transfer; traits are switched on by it.
SUPPORTED: frozenset[str] = frozenset(
    {
        "aegis",
        "cubic",
        "blackout recovery",
        "cookies",
        "long paths",
        "many streams",
        "migration",
        "mtu search",
        "patterns",
        "ratchet",
        "raced handshake",
        "rekey",
        "stateless reset",
        "stream reset",
        "streams",
        "wrap",
    }
)


@dataclass
class ClientPlan:
    """One client: its path to the server, and what it asks for."""

    there: LinkSettings = field(default_factory=LinkSettings)
    back: LinkSettings = field(default_factory=LinkSettings)
    requests: tuple[Request, ...] = ()
    at_once: int = 1
    pause: int = 0
    code: int = 0
    appetite: Appetite = GREEDY
    pattern: Pattern = Pattern.IK
    mail: Mail | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """A client's program dies without a word; the machine `returns` at once, or never."""

    client: int
    time: int
    returns: bool


@dataclass
class Plan:
    """A whole scenario, ready to run; printed in full when it fails."""

    seed: str
    clients: list[ClientPlan] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=lambda: {"suites": (Suite.XCHACHA20,)})
    appetite: Appetite = GREEDY
    clocks: tuple[int, ...] = ()
    tick: int = 1
    rebind_every: int = 0
    rebind_first: int = 0  # 0: after as long as between two
    rebinds_address: bool = False  # rather than the port
    jumps: tuple[int, ...] = ()
    restarts: tuple[int, ...] = ()
    deaths: tuple[Death, ...] = ()
    traitor: Breach | None = None
    takes_wholes: bool = False
    meddle_every: int = 0
    strangers_every: int = 0
    diverts: bool = False
    races: bool = False
    limit: int = 3600 * SECOND
    traits: tuple[str, ...] = ()

    @property
    def has_deaths(self) -> bool:
        """Whether somebody's sessions end otherwise than by a word."""
        return bool(self.restarts or self.deaths)

    def both_ways(self, change: Callable[[LinkSettings], LinkSettings]) -> None:
        """Change every link."""
        for client in self.clients:
            client.there, client.back = change(client.there), change(client.back)


@dataclass(frozen=True, slots=True)
class Trait:
    """Something that a scenario may have: how often, and what it changes in the plan."""

    name: str
    chance: float
    apply: Callable[[Plan, Random], None]
    needs: str = ""


def draw(seed: int, supported: frozenset[str] = SUPPORTED) -> Plan:
    """The scenario that belongs to a seed."""
    plan = Plan(seed=f"scenario {seed}")
    names = []
    for trait in TRAITS:
        random = Random(f"{seed}/{trait.name}")
        if random.random() < trait.chance and (not trait.needs or trait.needs in supported):
            trait.apply(plan, random)
            names.append(trait.name)
    plan.traits = tuple(names)
    return plan


# ---- who is there, and what they do ----


def _hosts(plan: Plan, random: Random) -> None:
    count = random.choice((1, 1, 1, 1, 2, 3, 5))
    plan.clients = [ClientPlan(code=0x1000 + i) for i in range(count)]
    plan.clocks = tuple(random.randrange(10**12) for _ in range(count + 1))
    plan.tick = random.choice((1, 1, 50, 1000))


def _paths(plan: Plan, random: Random) -> None:
    for client in plan.clients:
        delay = int(10 ** random.uniform(2, 5.2))  # 0.1 ms to 160 ms one way
        client.there = replace(client.there, delay=delay)
        client.back = replace(client.back, delay=max(1, int(delay * random.uniform(0.5, 1.5))))


def _transfer(plan: Plan, random: Random) -> None:
    budget = int(2 ** random.uniform(0, 22)) // len(plan.clients)
    for number, client in enumerate(plan.clients):
        up, down = random.choice(((1, 0), (0, 1), (1, 1)))
        in_turn = random.random() < 0.3
        client.requests = (Request(number * 1000, up * budget, down * budget, in_turn),)


def _echo(plan: Plan, random: Random) -> None:
    rounds, size = random.randint(2, 40), int(2 ** random.uniform(0, 12))
    for number, client in enumerate(plan.clients):
        client.requests += (Request(number * 1000 + 500, size, size, True, rounds),)
        client.at_once = 2


def _handshake_only(plan: Plan, random: Random) -> None:
    for client in plan.clients:
        client.requests = ()


def _many_streams(plan: Plan, random: Random) -> None:
    count, at_once = random.randint(2, 60), random.randint(1, 16)
    for number, client in enumerate(plan.clients):
        client.at_once = at_once
        client.requests += tuple(
            Request(
                number * 1000 + 1 + i,
                int(2 ** random.uniform(0, 13)),
                int(2 ** random.uniform(0, 13)),
                random.random() < 0.5,
            )
            for i in range(count)
        )


def _slow_reader(plan: Plan, random: Random) -> None:
    plan.settings["keep_alive"] = 5.0  # half a window may take longer to read than the idle limit
    appetite = Appetite(random.randint(1000, 50_000), random.randint(1, 50) * MS)
    if random.random() < 0.5:
        plan.appetite = appetite
    else:
        plan.clients[0].appetite = appetite


def _pauses(plan: Plan, random: Random) -> None:
    for client in plan.clients:
        client.pause = int(random.uniform(0.01, 5) * SECOND / max(1, len(client.requests)))


def _rests(plan: Plan, random: Random) -> None:
    # A session lives through a pause longer than its idle limit, by keep-alive alone.
    idle = random.uniform(12, 20)
    plan.settings |= {"idle_timeout": idle, "keep_alive": idle / 4}
    for client in plan.clients:
        client.pause = int(1.5 * idle * SECOND)
        client.requests = (client.requests or (Request(7, 100, 100),))[:2]


def _mail(plan: Plan, random: Random) -> None:
    for client in plan.clients:
        size, every = random.randint(0, 1100), int(10 ** random.uniform(3, 6))
        client.mail = Mail(size, every, random.randint(1, 300))


def _wholes(plan: Plan, _random: Random) -> None:
    plan.takes_wholes = True


def _impatience(plan: Plan, random: Random) -> None:
    for client in plan.clients:
        client.requests = tuple(
            replace(request, patience=int(10 ** random.uniform(3, 6)))
            if random.random() < 0.4
            else request
            for request in client.requests
        )


# ---- what the paths do ----


def _loss(plan: Plan, random: Random) -> None:
    worst = random.choice((0.01, 0.05, 0.2))
    for client in plan.clients:
        client.there = replace(client.there, loss=random.uniform(0, worst))
        client.back = replace(client.back, loss=random.uniform(0, worst))


def _bursts(plan: Plan, random: Random) -> None:
    burst = Burst(random.uniform(0.001, 0.02), random.randint(1, 100) * MS, random.uniform(0.5, 1))
    plan.both_ways(lambda link: replace(link, burst=burst))


def _jitter(plan: Plan, random: Random) -> None:
    jitter = int(10 ** random.uniform(2, 4.7))
    plan.both_ways(lambda link: replace(link, jitter=jitter))


def _reorder(plan: Plan, random: Random) -> None:
    share, delay = random.uniform(0.01, 0.3), int(10 ** random.uniform(2, 5))
    plan.both_ways(lambda link: replace(link, reorder=share, reorder_delay=delay))


def _duplicate(plan: Plan, random: Random) -> None:
    share = random.uniform(0.01, 0.3)
    plan.both_ways(lambda link: replace(link, duplicate=share))


def _corrupt(plan: Plan, random: Random) -> None:
    share, bits = random.uniform(0.001, 0.05), random.choice((1, 2, 32))
    plan.both_ways(lambda link: replace(link, corrupt=share, corrupt_bits=bits))


def _bottleneck(plan: Plan, random: Random) -> None:
    rate = int(10 ** random.uniform(4.7, 7.5))  # 50 kB/s to 30 MB/s
    queue = max(12_000, int(rate * 10 ** random.uniform(-2.5, -0.5)))
    plan.both_ways(lambda link: replace(link, rate=rate, queue=queue))


def _blackout(plan: Plan, random: Random) -> None:
    start = int(random.uniform(0, 2) * SECOND)
    end = start + int(random.uniform(0.1, 3) * SECOND)
    plan.both_ways(lambda link: replace(link, blackouts=((start, end),)))


def _small_mtu(plan: Plan, random: Random) -> None:
    plan.both_ways(lambda link: replace(link, mtu=random.randint(1200, 1471)))


def _large_mtu(plan: Plan, random: Random) -> None:
    plan.settings["mtu"] = random.choice((1200, 1280, 1452, 8972))


def _mtu_changes(plan: Plan, random: Random) -> None:
    times = sorted(int(10 ** random.uniform(4.5, 6.5)) for _ in range(random.randint(1, 3)))
    sizes = [random.randint(1200, 1472) for _ in times]
    plan.both_ways(lambda link: replace(link, mtu_changes=tuple(zip(times, sizes, strict=True))))


def _clock_jump(plan: Plan, random: Random) -> None:
    plan.jumps = tuple(int(random.uniform(0, 3) * SECOND) for _ in range(random.randint(1, 2)))


def _meddler(plan: Plan, random: Random) -> None:
    plan.meddle_every = int(10 ** random.uniform(3, 5.5))


def _marks(plan: Plan, random: Random) -> None:
    def marked(link: LinkSettings) -> LinkSettings:
        if random.random() < 0.2:
            return replace(link, bleaches=True)
        if link.rate and random.random() < 0.6:
            return replace(link, marks_above=int(link.queue * random.uniform(0.1, 0.6)))
        return replace(link, marks=10 ** random.uniform(-3, -1))

    for client in plan.clients:
        client.there, client.back = marked(client.there), marked(client.back)


def _strangers(plan: Plan, random: Random) -> None:
    plan.strangers_every = int(10 ** random.uniform(4, 6))


def _few_streams(plan: Plan, random: Random) -> None:
    plan.settings["max_streams"] = random.randint(1, 8)


def _small_windows(plan: Plan, random: Random) -> None:
    plan.settings["stream_window"] = int(2 ** random.uniform(15, 17))
    plan.settings["session_window"] = plan.settings["stream_window"] * random.choice((1, 2, 8))


def _little_memory(plan: Plan, random: Random) -> None:
    plan.settings["memory"] = int(2 ** random.uniform(20, 23))


def _aegis(plan: Plan, random: Random) -> None:
    plan.settings["suites"] = (Suite.XCHACHA20, Suite.AEGIS256)


def _cubic(plan: Plan, _random: Random) -> None:
    plan.settings["controller"] = "cubic"


# ---- what the core does about its keys and its peers' addresses ----


def _wrap(plan: Plan, random: Random) -> None:
    plan.settings["first_packet_number"] = 2**32 - random.choice((64, 300, 1000))


def _long_way(plan: Plan, random: Random) -> None:
    plan.both_ways(lambda link: replace(link, delay=150 * MS))


def _far_and_fast(plan: Plan, random: Random) -> None:
    """More is on the way than the first windows allow."""
    for name in ("stream_window", "session_window"):
        plan.settings.pop(name, None)
    link = LinkSettings(delay=150 * MS, rate=20_000_000, queue=3_000_000)
    client = plan.clients[0]
    client.there = client.back = link
    client.requests, client.appetite = (Request(0, 12 << 20, 0),), GREEDY


def _long_blackout(plan: Plan, random: Random) -> None:
    start = int(random.uniform(0.2, 2) * SECOND)
    plan.both_ways(lambda link: replace(link, blackouts=((start, start + 5 * SECOND),)))


def _moving(plan: Plan, random: Random) -> None:
    # Whoever moves within a round trip or two is never found.
    links = [link for client in plan.clients for link in (client.there, client.back)]
    slowest = max(link.delay + link.jitter + link.queue_delay() for link in links)
    # And whoever only listens is found again when it says something.
    plan.settings["keep_alive"] = 1.0
    plan.rebind_every = max(16 * slowest, int(10 ** random.uniform(4.7, 6.3)))  # 50 ms to 2 s


def _restarts(plan: Plan, random: Random) -> None:
    # Whoever only listens learns of it when it says something.
    plan.settings["keep_alive"] = 1.0
    plan.restarts = tuple(
        sorted(int(random.uniform(0.01, 3) * SECOND) for _ in range(random.randint(1, 3)))
    )


def _deaths(plan: Plan, random: Random) -> None:
    # Whoever only listens learns of it when it says something.
    plan.settings["keep_alive"] = 1.0
    plan.deaths = tuple(
        Death(
            random.randrange(len(plan.clients)),
            int(random.uniform(0.01, 3) * SECOND),
            random.random() < 0.7,
        )
        for _ in range(random.randint(1, 3))
    )


def _traitor(plan: Plan, random: Random) -> None:
    plan.traitor = random.choice(BREACHES)


def _diverter(plan: Plan, random: Random) -> None:
    plan.diverts = True


def _racer(plan: Plan, random: Random) -> None:
    plan.races = True


def _rekeys(plan: Plan, random: Random) -> None:
    plan.settings["rekey_packets"] = random.choice((50, 200, 1000))


def _ratchets(plan: Plan, random: Random) -> None:
    plan.settings["rekey_seconds"] = random.uniform(0.05, 3)
    plan.settings["ratchet_seconds"] = random.uniform(0.05, 3)


def _patterns(plan: Plan, random: Random) -> None:
    for client in plan.clients:
        client.pattern = random.choice(list(Pattern))


def _cookies(plan: Plan, random: Random) -> None:
    plan.settings["cookie_after"] = random.choice((0, 1, 2))


TRAITS: tuple[Trait, ...] = (
    Trait("hosts", 1.0, _hosts),
    Trait("paths", 1.0, _paths),
    Trait("transfer", 0.9, _transfer),
    Trait("echo", 0.15, _echo, needs="streams"),
    Trait("many streams", 0.25, _many_streams, needs="many streams"),
    Trait("handshake only", 0.05, _handshake_only),
    Trait("slow reader", 0.15, _slow_reader),
    Trait("impatience", 0.15, _impatience, needs="stream reset"),
    Trait("pauses", 0.1, _pauses),
    Trait("rests", 0.05, _rests),
    Trait("mail", 0.2, _mail),
    Trait("wholes", 0.2, _wholes),
    Trait("loss", 0.5, _loss),
    Trait("bursts", 0.15, _bursts),
    Trait("jitter", 0.3, _jitter),
    Trait("reorder", 0.35, _reorder),
    Trait("duplicate", 0.3, _duplicate),
    Trait("corrupt", 0.3, _corrupt),
    Trait("bottleneck", 0.35, _bottleneck),
    Trait("blackout", 0.1, _blackout),
    Trait("marks", 0.3, _marks),
    Trait("small mtu", 0.15, _small_mtu, needs="mtu search"),
    Trait("large mtu", 0.2, _large_mtu),
    Trait("mtu changes", 0.15, _mtu_changes, needs="mtu search"),
    Trait("clock jump", 0.1, _clock_jump),
    Trait("few streams", 0.15, _few_streams),
    Trait("small windows", 0.15, _small_windows),
    Trait("little memory", 0.1, _little_memory),
    Trait("aegis", 0.3, _aegis, needs="aegis"),
    Trait("meddler", 0.2, _meddler),
    Trait("strangers", 0.2, _strangers),
    Trait("wrap", 0.2, _wrap, needs="wrap"),
    Trait("long way", 0.05, _long_way, needs="long paths"),
    Trait("far and fast", 0.02, _far_and_fast, needs="long paths"),
    Trait("long blackout", 0.05, _long_blackout, needs="blackout recovery"),
    Trait("moving", 0.1, _moving, needs="migration"),
    Trait("restarts", 0.1, _restarts, needs="stateless reset"),
    Trait("deaths", 0.1, _deaths),
    Trait("traitor", 0.2, _traitor),
    Trait("diverter", 0.5, _diverter, needs="migration"),
    Trait("racer", 0.5, _racer, needs="raced handshake"),
    Trait("rekeys", 0.15, _rekeys, needs="rekey"),
    Trait("ratchets", 0.15, _ratchets, needs="ratchet"),
    Trait("patterns", 0.3, _patterns, needs="patterns"),
    Trait("cookies", 0.15, _cookies, needs="cookies"),
    Trait("cubic", 0.4, _cubic, needs="cubic"),
)
