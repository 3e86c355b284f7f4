"""The Role and RoleBinding that let the operator read what a CronixApp names, as a command to paste; text only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cronix_operator.core.model import App, Subject

RBAC = "rbac.authorization.k8s.io"
MAX_CHARS = 1000  # a condition's message is cut at 1024, and half a Role is worth nothing


def secret_names(app: App) -> tuple[str, ...]:
    """Every Secret that a CronixApp names, each once."""
    connection = app.connection
    names: list[str | None] = [app.signing_secret, connection.client_cert_secret]
    names += [key.ref.secret for key in app.signing_keys]
    names += [header.secret.secret for header in connection.headers if header.secret is not None]
    names += [connection.ca_secret.secret if connection.ca_secret is not None else None]
    return tuple(dict.fromkeys(name for name in names if name))


def grant(app: App, plural: str, name: str, service_account: str) -> str:
    """What is missing and the command that adds it, ready to be pasted; `service_account`: namespace:name.

    Names every Secret of the CronixApp, so that one command is enough; where that would not fit, a whole kind.
    """
    names = secret_names(app) if plural == "secrets" else (name,)
    text = _command(app, plural, names, service_account)
    return text if len(text) <= MAX_CHARS else _command(app, plural, (), service_account)


def grant_config_map(app: Subject, name: str, service_account: str) -> str:
    """The same for the one ConfigMap that the operator writes; creating cannot be bound to a name."""
    kind: dict[str, Any] = {"apiGroups": [""], "resources": ["configmaps"]}
    rules = [{**kind, "verbs": ["create"]}, {**kind, "verbs": ["update", "delete"], "resourceNames": [name]}]
    wrong = f'the operator may not write ConfigMap "{name}", so no run is told when its job last succeeded'
    text = f"{wrong}; to let it:\n{_applied(app.namespace, app.name, 'previous-success', rules, service_account)}"
    return text if len(text) <= MAX_CHARS else f"{wrong} (chart: rbac.previousSuccess)"


def _command(app: App, plural: str, names: Iterable[str], service_account: str) -> str:
    rule: dict[str, Any] = {"apiGroups": [""], "resources": [plural], "verbs": ["get"]}
    if named := list(names):
        rule["resourceNames"] = named
    which = "those that this CronixApp names" if named else "all that are there"
    return f'the operator may not read {plural} in namespace "{app.namespace}"; to let it read {which}:\n' + _applied(
        app.namespace, app.name, plural, [rule], service_account
    )


def _applied(namespace: str, name: str, what: str, rules: list[dict[str, Any]], service_account: str) -> str:
    home, _, account = service_account.partition(":")
    role = f"cronix-{name}-{what}"
    meta = {"name": role, "namespace": namespace}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": home}
    documents = (
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": role},
            "subjects": [subject],
        },
    )
    lines = "\n---\n".join(_flow(document) for document in documents)
    return f"kubectl apply -f - <<'EOF'\n{lines}\nEOF"


def _flow(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
