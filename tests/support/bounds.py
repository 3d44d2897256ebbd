"""Bounds on time: as promised, and wider by what the machine itself took away while it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.machine_noise import NoiseProbe

HAND_OVERS = 6
"""So often does one process wake another between a call and what is measured of it: each may be late."""

CHAINS = 2
"""What starts after a pause takes twice as many wakes as the probe's chain: keeper, server, child, server, child."""

WORTH_TELLING_S = 0.02


class Bound:
    """How many seconds something may take, at the time of the call.

    Args:
        probe: measures the machine's noise; None: nothing is measured, all may take as long as a wait may last.
        tell: gets a text that tells by how much bounds were widened; later texts replace earlier ones.
    """

    def __init__(self, probe: NoiseProbe | None, tell: Callable[[str], None]) -> None:
        self._probe = probe
        self._tell = tell

    def __call__(self, promised_s: float) -> float:
        """The bound of one duration, or of the longest of several: the machine may have stood still in it."""
        if self._probe is None:
            return max(promised_s, DEADLINE_S)
        return promised_s + self.stood_still_s + HAND_OVERS * self._probe.measured().typical_s

    def typical(self, promised_s: float) -> float:
        """The bound of a median: that the machine stood still now and then excuses nothing."""
        if self._probe is None:
            return max(promised_s, DEADLINE_S)
        noise = self._probe.measured()
        if HAND_OVERS * noise.typical_s > WORTH_TELLING_S:
            self._tell(f"medians may be {HAND_OVERS * noise.typical_s * 1e3:.0f} ms more: the machine is busy")
        return promised_s + HAND_OVERS * noise.typical_s

    def typical_after_pause(self, promised_s: float) -> float:
        """The bound of a median of what is measured after pauses of some tenths of a second, in all processes."""
        if self._probe is None:
            return max(promised_s, DEADLINE_S)
        noise = self._probe.measured()
        wider_s = max(HAND_OVERS * noise.typical_s, CHAINS * noise.after_pause_s)
        if wider_s > WORTH_TELLING_S:
            self._tell(f"medians after a pause may be {wider_s * 1e3:.0f} ms more: the machine is busy or wakes late")
        return promised_s + wider_s

    def forget(self) -> None:
        """Forget the noise so far: what is measured next is measured anew."""
        if self._probe is not None:
            self._probe.measured(forget=True)

    @property
    def stood_still_s(self) -> float:
        """For how long the machine stood still at the worst since the test began, or since `forget`, seconds."""
        if self._probe is None:
            return DEADLINE_S
        noise = self._probe.measured()
        if noise.longest_s > WORTH_TELLING_S:
            self._tell(
                f"bounds are {noise.longest_s * 1e3:.0f} ms wider: the machine stood still so long "
                f"(typically {noise.typical_s * 1e3:.1f} ms)"
            )
        return noise.longest_s
