"""Attacks of the fetch (S) that belong to no other file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronix_operator.core.errors import Stalled
from cronix_operator.core.model import Endpoint, KeyMaterial, SecretKey, SigningKey
from cronix_operator.edges.api import ApiServer
from cronix_operator.edges.source import HttpSource
from operator_fakes.builders import make_app
from operator_fakes.hostile import answers, serving
from operator_fakes.world import KEY, in_loop

MATERIAL = KeyMaterial(((SigningKey("current", SecretKey("keys", "current")), KEY),))


@pytest.mark.parametrize("address", ["10.0.0.9", "[fd00::9]", "[::ffff:10.0.0.9]"])
def test_a_literal_address_takes_the_same_check_as_a_name(address: str) -> None:
    """S4: some clients ask no resolver about a literal address, and so pass by a check that lives in the resolver."""

    @in_loop
    async def run() -> None:
        app = make_app(source={"url": f"http://{address}"}, allowInsecureHTTP=True)
        source = HttpSource(denied=frozenset({"10.0.0.9", "fd00::9"}))
        with pytest.raises(Stalled) as caught:
            await source.fetch(app, Endpoint(f"http://{address}:9/"), MATERIAL, 0)
        assert caught.value.reason == "ForbiddenHost"

    run()


def test_a_proxy_of_the_environment_never_sees_a_request_to_the_api_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """S7: such a request carries the operator's token. The fetch's half is in test_operator_source.py."""

    @in_loop
    async def run() -> None:
        reply = answers(200, b'{"kind":"Status"}', Content_Type="application/json")
        async with serving(answers(502)) as proxy, serving(reply) as server:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            config = tmp_path / "kubeconfig"
            config.write_text(
                "{apiVersion: v1, kind: Config, current-context: c, "
                "contexts: [{name: c, context: {cluster: c, user: u}}], "
                f"clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{server.port}'}}}}], "
                "users: [{name: u, user: {token: canary}}]}"
            )
            async with ApiServer(str(config)) as api:
                assert (await api.request("GET", "/api/v1/namespaces/shop/secrets/keys")).ok
        assert (proxy.connections, server.connections) == (0, 1)
        assert b"Bearer canary" in server.requests[0]

    run()
