"""What docs/protocol.md says of a session, a rule a class; the witness holds each packet against all."""

from __future__ import annotations

from tests.sim.rules.acks import AcksInTime, AcksOnlyWhatCame, CountsMarks, TellsTheLargest
from tests.sim.rules.credit import GrantsNoMoreThanItHolds, StaysWithinCredit, WidensWindows
from tests.sim.rules.endings import FallsSilent, RepeatsGoodbyeRarely
from tests.sim.rules.keys import ChangesKeysInTurn, RatchetsInTurn, RenewsKeys
from tests.sim.rules.paths import AnswersChallenges, GoesOnlyWhereProved, TellsWhereItSees
from tests.sim.rules.recovery import Recovers
from tests.sim.rules.streams import EndsStreamsOnce, MindsPriorities, ObeysStop, SendsDatagramsOnce
from tests.sim.session import Rule

RULES: tuple[type[Rule], ...] = (
    TellsTheLargest,
    AcksOnlyWhatCame,
    AcksInTime,
    CountsMarks,
    StaysWithinCredit,
    GrantsNoMoreThanItHolds,
    WidensWindows,
    EndsStreamsOnce,
    ObeysStop,
    MindsPriorities,
    SendsDatagramsOnce,
    ChangesKeysInTurn,
    RenewsKeys,
    RatchetsInTurn,
    GoesOnlyWhereProved,
    AnswersChallenges,
    TellsWhereItSees,
    Recovers,
    FallsSilent,
    RepeatsGoodbyeRarely,
)
