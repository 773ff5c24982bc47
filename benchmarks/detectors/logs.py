"""Detectors on public event logs, out of time: learned from what had happened, held against what came then.

Five real processes (loans, incidents, permits) in which people work: with nights, weekends, Christmas, and nobody who
says what waits. Nothing in the detectors was chosen by them. Goals: false alarms within 0.3 to 1.5 of the budget; at
most 2 % of healthy executions called to miss a step; all of what identities show.
"""

from collections.abc import Sequence
from typing import Final

from benchmarks.detectors._log_attempts import gaps_before, gaps_behind, waits, works
from benchmarks.detectors._log_courses import lost_and_repeated
from benchmarks.detectors._log_identities import named
from benchmarks.detectors._log_stalls import ALPHAS, PARTS, RHYTHM_ALPHA, Kind, rhythm, static
from benchmarks.detectors._log_weeks import watched
from benchmarks.detectors._public_logs import SOURCES, Log, NotHad, Source, archive, read_logs

NAME: Final = "Public event logs"
KINDS: Final[Sequence[tuple[str, Kind]]] = (
    ("gaps before", gaps_before),
    ("gaps behind", gaps_behind),
)
SPAN_KINDS: Final[Sequence[tuple[str, Kind]]] = (("work", works), ("waits", waits), *KINDS)


def measure(quick: bool) -> str:
    """All parts, each with its table; quick: of the smallest log."""
    sources = SOURCES[-1:] if quick else SOURCES
    try:
        path = archive()
    except NotHad as error:
        return f"The logs could not be had, so nothing was measured ({error})."
    return "\n\n".join([_what(sources), *parts(list(read_logs(path, sources)), quick)])


def _what(sources: Sequence[Source]) -> str:
    return (
        "Logs from the source archive of pm4py 2.3.0, fetched with pip: "
        + ", ".join(source.name for source in sources)
        + ". *Work* lasts from an activity's start to its completion, *waits* from its scheduling to its start; where "
        "logs tell of completions only, *gaps before* hold an event against the time since the one before, *gaps "
        "behind* against the time to the next one (`stalled_execution`)."
    )


def parts(logs: Sequence[Log], quick: bool) -> list[str]:
    """The sections' texts."""
    kinds = [(log, SPAN_KINDS if log.source.spans else KINDS) for log in logs]
    return [
        f"### What was learned against what came then\n\n{_STATIC}",
        *(
            f"One false alarm in {round(1 / alpha):,} allowed:\n\n{static(kinds, alpha)}"
            for alpha in ALPHAS
        ),
        f"### As they are watched\n\n{_WATCHED}\n\n" + watched(kinds),
        f"### By the hour\n\n{_RHYTHM}\n\n" + rhythm(kinds),
        f"### What is lost or comes again, without numbers\n\n{_COURSES}\n\n"
        + lost_and_repeated(logs, *([100] if quick else [])),
        f"### What is lost or comes again, with identities\n\n{_NAMED}\n\n"
        + named(logs, *([10] if quick else [])),
    ]


_STATIC: Final = (
    "Learned up to the time at which half of a log's events had happened, held against what began later (and early "
    "enough for the log to show it): attempts called late, all of which ended, and in parentheses that number by the "
    "allowed one. *With the ratchet*, what was called and ended raises the threshold. All rules have the same slack of "
    "at least a second. The delay ratio, where it can be known: the median over steps of thresholds divided by the "
    "best one for the judged attempts. A hang, an attempt that never ends, is told after so many times the p99 "
    "(median and 90 % of attempts)."
)
_WATCHED: Final = (
    "One false alarm a week allowed in all, so 0.36 for stalls, and 0.02 of its own for each step that runs seldom; "
    "learned every day from the last seven, from 28 where these have fewer than 2,000 durations. *Expected* is what "
    "the thresholds promise; *used* are attempts called by those expected. Calls of a step that overlap are one "
    "finding. *Ended in one hour*: the share of called attempts that ended in the commonest hour of the day. *A week "
    "alone*: if nothing older had been learned from or remembered, and how long thresholds would be then, as a "
    "multiple of what they are. The first four weeks are not judged."
)
_RHYTHM: Final = (
    f"Thresholds for one false alarm in {round(1 / RHYTHM_ALPHA):,}, from at least 300 durations: their use by the "
    "local time at which attempts began. Then with a threshold for each of these "
    f"{len(PARTS)} parts of the week, learned from its durations alone; and how long these would be, as a multiple of "
    "the one for all hours, if they were stretched until they call as many (1: nothing is gained)."
)
_COURSES: Final = (
    "Learned from the half of the cases that ended first (at most 20,000); *seen before* are later cases whose course "
    "was among them. Of up to 2,000 later cases each loses one step; of those found, the step is named right. Then a "
    "step that ran once runs again: the first one at the end, or any one behind any later one."
)
_NAMED: Final = (
    "The cases that ended last as numbered step events through the store: untouched, one event delivered twice, one "
    "call started twice, one event lost. Told: named by `duplicate_step` or `event_gap`."
)
