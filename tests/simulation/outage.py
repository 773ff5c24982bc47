"""A while in which nobody listens: senders keep what they have, and deliver it in order once somebody does again."""

import dataclasses
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tests.simulation.world import LIVE_S, START, World

TICKS: Final = (4, 9)
WAIT_MAX_S: Final = 40.0
"""How long a sender may wait before it tries again."""
DRAIN_MAX_S: Final = 60.0


@dataclass(frozen=True)
class Outage:
    """From `began_at` until before `ended_at`, which are ticks."""

    began_at: datetime
    ended_at: datetime

    def over(self, now: datetime) -> bool:
        """Whether somebody listens."""
        return not self.began_at <= now < self.ended_at


def drawn(rng: random.Random, tick: timedelta) -> Outage:
    """One while faults befall executions."""
    first = rng.randrange(2, int(timedelta(seconds=LIVE_S) / tick) - TICKS[1])
    began_at = START + first * tick
    return Outage(began_at, began_at + rng.randint(*TICKS) * tick)


def held_back(world: World, outage: Outage, rng: random.Random) -> datetime:
    """Let the world's sender keep what it would have delivered meanwhile, and what came behind that; when the last of
    it is there."""
    again_at = outage.ended_at + timedelta(seconds=rng.uniform(0, WAIT_MAX_S))
    drain = timedelta(seconds=rng.uniform(0, DRAIN_MAX_S))
    caught_up_at = again_at + drain
    missed = again_at - outage.began_at
    moved = []
    for one in world.deliveries:
        received_at = one.received_at
        if outage.began_at <= received_at < again_at:
            received_at = again_at + (received_at - outage.began_at) / missed * drain
        elif again_at <= received_at < caught_up_at:
            received_at = caught_up_at
        moved.append(dataclasses.replace(one, received_at=received_at))
    world.deliveries = sorted(moved, key=lambda one: one.received_at)
    for name, harmed in world.harmed.items():
        told_at = max(one.received_at for one in moved if one.event.execution_id == name)
        world.harmed[name] = dataclasses.replace(harmed, told_at=told_at)
    return caught_up_at
