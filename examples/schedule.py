"""A task again and again. In two terminals, in this folder:

$ streamtasks-worker --app schedule:app --concurrency 1
$ python schedule.py
"""

from __future__ import annotations

import os
import time
from datetime import timedelta

from streamtasks import StreamTasks
from streamtasks.schedules import crontab, every

app = StreamTasks(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), timezone="Europe/Berlin")


@app.task(schedule=every(0.5))
def look() -> str:
    """Run twice a second, whichever workers are there; declared here, it is known once a worker has started."""
    return "looked"


@app.task
def remind(whom: str) -> str:
    """Be scheduled below, at run time."""
    return f"reminded {whom}"


if __name__ == "__main__":
    app.schedules.create("morning", remind, crontab(hour=8, minute=30, day_of_week="mon-fri"), args=["Ada"])
    print(app.schedules.run_now("morning").get(timeout=20))
    app.schedules.update("morning", schedule=every(timedelta(days=7)))
    app.schedules.delete("morning")

    while not (mine := [one for one in app.schedules.list() if one.fired]):
        time.sleep(0.1)
    print(f"{mine[0].task} fires {mine[0].rule}")
