"""What is posted to spec.notify.url: an Event about runs in, a small JSON document out; no I/O, no clock."""

from __future__ import annotations

import json
from datetime import datetime

from cronix_operator.core.announce import Announcement
from cronix_operator.core.model import App
from cronix_operator.core.moments import timestamp

# A receiver that restarts is back by then; one that is away for longer has the next notice and the Events.
RETRY_PAUSES_SECONDS = (2.0, 10.0, 60.0)
NOTIFY_FAILED = "NotifyFailed"
MAX_TEXT = 1024


def notice_body(app: App, event: Announcement, now: datetime) -> bytes:
    """The document: `text` alone is what chat systems show; `type` is failure or recovery; `reason` is the Event's."""
    document = {
        "version": 1,
        "type": "recovery" if event.type == "Normal" else "failure",
        "reason": event.reason,
        "text": f"{app.namespace}/{app.name} {event.message}"[:MAX_TEXT],
        "namespace": app.namespace,
        "name": app.name,
        "app": app.app,
        "time": timestamp(now),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
