"""Certificates by openssl: two authorities (cluster, etcd), one certificate per identity, kubeconfigs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cronix_cluster.errors import ClusterError
from cronix_cluster.network import API_PORT, NODE_NAME, SERVICE_API_ADDRESS, node_address
from cronix_cluster.paths import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

_DAYS = "3650"
_SERVER = "https://127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class Identity:
    """One certificate: file name, who it says it is, which authority signs it, which names a server answers to."""

    file: str
    subject: str
    authority: str = "ca"
    names: tuple[str, ...] = ()


def identities() -> tuple[Identity, ...]:
    """Everyone who needs a certificate, with the user and group names that Kubernetes' built-in RBAC binds."""
    address = node_address()
    api_names = (
        "IP:127.0.0.1",
        f"IP:{SERVICE_API_ADDRESS}",
        f"IP:{address}",
        "DNS:localhost",
        f"DNS:{NODE_NAME}",
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
        "DNS:kubernetes.default.svc.cluster.local",
    )
    return (
        Identity("apiserver", "/CN=kube-apiserver", names=api_names),
        Identity("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Identity("admin", "/O=system:masters/CN=kubernetes-admin"),
        Identity("controller-manager", "/CN=system:kube-controller-manager"),
        Identity("scheduler", "/CN=system:kube-scheduler"),
        Identity("kube-proxy", "/CN=system:kube-proxy"),
        Identity("coredns", "/CN=system:coredns"),
        Identity("kubelet", f"/O=system:nodes/CN=system:node:{NODE_NAME}", names=(f"IP:{address}", f"DNS:{NODE_NAME}")),
        Identity("etcd-server", "/CN=etcd", "etcd-ca", ("IP:127.0.0.1", "DNS:localhost")),
        Identity("etcd-client", "/CN=kube-apiserver-etcd-client", "etcd-ca"),
    )


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-500:]}")


def _new_key(path: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))
    path.chmod(0o600)


def _sign(folder: Path, identity: Identity) -> None:
    key, request, certificate = (folder / f"{identity.file}.{end}" for end in ("key", "csr", "crt"))
    _new_key(key)
    _openssl("req", "-new", "-key", str(key), "-subj", identity.subject, "-out", str(request))
    lines = [
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth,clientAuth",
        "basicConstraints=CA:FALSE",
    ]
    if identity.names:
        lines.append("subjectAltName=" + ",".join(identity.names))
    extensions = folder / f"{identity.file}.ext"
    extensions.write_text("\n".join(lines) + "\n")
    serial = str(int.from_bytes(os.urandom(8)) or 1)
    authority = folder / identity.authority
    _openssl(
        "x509",
        "-req",
        "-in",
        str(request),
        "-CA",
        f"{authority}.crt",
        "-CAkey",
        f"{authority}.key",
        "-set_serial",
        serial,
        "-days",
        _DAYS,
        "-extfile",
        str(extensions),
        "-out",
        str(certificate),
    )
    request.unlink()
    extensions.unlink()


def _authority(folder: Path, name: str) -> None:
    _new_key(folder / f"{name}.key")
    _openssl(
        "req",
        "-x509",
        "-new",
        "-key",
        str(folder / f"{name}.key"),
        "-subj",
        f"/CN=cronix-local-{name}",
        "-days",
        _DAYS,
        "-addext",
        "keyUsage=critical,digitalSignature,keyCertSign,cRLSign",
        "-out",
        str(folder / f"{name}.crt"),
    )


def ensure(folder: Path) -> bool:
    """Make all certificates unless those of this very list are there; returns whether they were made.

    The stamp is written last: a harness that dies half way makes them all again.
    """
    stamp = folder / "stamp"
    wanted = hashlib.sha256(repr(identities()).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in ("ca", "etcd-ca"):
        _authority(folder, name)
    for identity in identities():
        _sign(folder, identity)
    _new_key(folder / "service-account.key")
    _openssl("ec", "-in", str(folder / "service-account.key"), "-pubout", "-out", str(folder / "service-account.pub"))
    write_atomically(stamp, wanted)
    return True


def kubeconfig(pki: Path, identity: str) -> str:
    """A kubeconfig (JSON is YAML) with everything inside, so that it can be copied elsewhere."""

    def inline(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    cluster = {"server": _SERVER.format(port=API_PORT), "certificate-authority-data": inline("ca.crt")}
    user = {"client-certificate-data": inline(f"{identity}.crt"), "client-key-data": inline(f"{identity}.key")}
    context = {"cluster": "cronix-local", "user": identity}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cronix-local", "cluster": cluster}],
            "users": [{"name": identity, "user": user}],
            "contexts": [{"name": "cronix-local", "context": context}],
            "current-context": "cronix-local",
        },
        indent=2,
    )
