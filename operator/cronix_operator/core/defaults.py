"""What the person who installed the operator says for every CronixApp that says nothing itself; pure."""

from __future__ import annotations

import dataclasses

from cronix_operator.core.model import App, Limits


def with_defaults(app: App, limits: Limits) -> App:
    """The app, trusting the cluster's CA bundle where it names no CA of its own; for the fetch and for its runs."""
    connection = app.connection
    if limits.ca_config_map is None or connection.ca_secret is not None or connection.ca_config_map is not None:
        return app
    return dataclasses.replace(app, connection=dataclasses.replace(connection, ca_config_map=limits.ca_config_map))
