"""The operator's clock is set ahead or back while it runs; the control plane's stays right."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.faults_helpers import WHOLE, Figures, MakeStage

PROGRAM = str(Path(__file__).parent / "shifted_operator.py")
DAY_SECONDS = 86_400
JUMPS = {"a day ahead": DAY_SECONDS, "a day back": -DAY_SECONDS, "ten minutes ahead": 600, "ten minutes back": -600}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("jump", JUMPS if WHOLE else list(JUMPS)[:1])
def test_the_operators_clock_jumps_and_jumps_back(
    stages: MakeStage, figures: Figures, tmp_path: Path, jump: str
) -> None:
    """K6: with the wrong clock and after it edits are carried out, drift repaired, and nothing else done."""
    clock = tmp_path / "shift"
    clock.write_text("0")
    stage = stages(program=PROGRAM, SHIFT_FILE=str(clock))
    slowest = 0.0
    for seconds in (JUMPS[jump], 0):
        before = stage.now()
        clock.write_text(str(seconds))
        stage.edit()
        slowest = max(slowest, stage.wait_in_step())
        stage.drift()
        stage.wait_repaired()
        stage.assert_no_more_than_asked(before)
        assert stage.place.items("jobs") == []
        assert stage.place.events("SlotMissed") == []
    assert stage.operator.is_alive
    figures.add(f"operator's clock {jump}", slowest)
