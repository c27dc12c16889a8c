"""The functions under test, and those that go wrong, served by fastworker.

Rule: as a user would write it: what is known to overrun has a deadline of its own, the innocent have the app's.
"""

from typing import Any, Final

from benchmarks.functions.faults import fates
from benchmarks.functions.function_app import app

DEADLINE_S: Final = 0.2


@app.generic_trigger("job", type="manualTrigger")
def crash(job: Any) -> None:
    """Kills its worker."""
    fates.crash()


@app.function(deadline=DEADLINE_S)
@app.generic_trigger("job", type="manualTrigger")
def overrun(job: Any) -> None:
    """Python code, ended by DeadlineExceeded."""
    fates.overrun()


@app.function(deadline=DEADLINE_S)
@app.generic_trigger("job", type="manualTrigger")
def stuck(job: Any) -> None:
    """C code, ended by force."""
    fates.stuck()
