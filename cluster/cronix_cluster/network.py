"""The bridge, the kernel's switches and iptables: what is changed, and how it is changed back."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from pathlib import Path

from cronix_cluster import iptables
from cronix_cluster.errors import ClusterError

NODE_NAME = "cronix-local"
BRIDGE = "cronix0"
API_PORT = 16443
SERVICE_NETWORK = "10.96.0.0/16"
SERVICE_API_ADDRESS = "10.96.0.1"
# Switches that kubelet, kube-proxy and the bridge plugin turn, or that pods need.
_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_FAMILIES = (("ip", "iptables"), ("ip6", "ip6tables"))


def pod_network() -> ipaddress.IPv4Network:
    """The pods' network: 10.166.0.0/16, or CRONIX_POD_CIDR where that is taken."""
    return ipaddress.IPv4Network(os.environ.get("CRONIX_POD_CIDR") or "10.166.0.0/16")


def node_address() -> str:
    """The bridge's address: the node, the API server and the DNS server as pods see them."""
    return str(pod_network()[1])


def run(*command: str, stdin: str | None = None) -> str:
    """Run a program that must succeed; its error is the reader's error."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-800:]}")
    return done.stdout


def _clash() -> str | None:
    for route in json.loads(run("ip", "-json", "-4", "route")):
        if route.get("dst") in {None, "default"} or route.get("dev") == BRIDGE:
            continue
        if ipaddress.IPv4Network(route["dst"], strict=False).overlaps(pod_network()):
            return f"{route['dst']} on {route.get('dev')}"
    return None


def has_bridge() -> bool:
    """Whether our bridge is there."""
    return Path(f"/sys/class/net/{BRIDGE}").exists()


def ensure_bridge() -> None:
    """Make the bridge with the node's address, made before anything listens on that address."""
    clash = _clash()
    if clash:
        raise ClusterError(f"the pods' network {pod_network()} is taken by {clash}; set CRONIX_POD_CIDR to a free /16")
    if not has_bridge():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "addr", "replace", f"{node_address()}/{pod_network().prefixlen}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name


def snapshot() -> dict[str, object]:
    """What the host looks like before we change it, for `restore`."""
    values = {}
    for name in _SYSCTLS:
        if _sysctl(name).exists():
            values[name] = _sysctl(name).read_text().strip()
    return {
        "sysctls": values,
        "iptables": {tool: _saved(tool) for _, tool in _FAMILIES},
        "folders": [str(path) for path in LEFT_BY_OTHERS if path.exists()],
    }


# Made by kubelet, containerd and the CNI plugins whatever they are told; removed if they were not there before.
LEFT_BY_OTHERS = (
    Path("/var/lib/kubelet"),
    Path("/var/log/containers"),
    Path("/var/log/pods"),
    Path("/var/lib/cni"),
    Path("/run/containerd"),
    Path("/etc/cni"),
    Path("/opt/cni"),
    Path("/run/netns"),
    Path("/run/xtables.lock"),
    Path("/usr/libexec/kubernetes"),
    Path("/run/runc"),
    Path("/run/flannel"),
)


def prepare_kernel() -> bool:
    """Switch forwarding on; returns whether bridged packets pass iptables (where not, Services need masquerading)."""
    for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"):
        if _sysctl(name).exists():
            _sysctl(name).write_text("1\n")
    return _sysctl("net/bridge/bridge-nf-call-iptables").exists()


def open_forwarding() -> None:
    """Where somebody's policy drops forwarded packets (Docker), let those of our bridge pass."""
    if ":FORWARD DROP" not in run("iptables-save", "-t", "filter"):
        return
    _own_chain("CRONIX-FORWARD", [f"-i {BRIDGE} -j ACCEPT", f"-o {BRIDGE} -j ACCEPT"], ["-I FORWARD"])


def keep_services_inside() -> None:
    """Refuse packets to a Service's address that no rule of kube-proxy has turned to a pod.

    Without it they leave by the default route while kube-proxy has not yet written a new Service's rules, and whatever
    answers there answers for the Service. A packet that kube-proxy has turned bears the pod's address in these chains.
    """
    refuse = f"-d {SERVICE_NETWORK} -j REJECT --reject-with icmp-port-unreachable"
    _own_chain("CRONIX-SERVICES", [refuse], ["-A FORWARD", "-A OUTPUT"])


def _own_chain(name: str, rules: list[str], jumps: list[str]) -> None:
    """Write a chain of the filter table and the jumps to it, unless it is there."""
    if f":{name} " in run("iptables-save", "-t", "filter"):
        return
    lines = [*(f"-A {name} {rule}" for rule in rules), *(f"{jump} -j {name}" for jump in jumps)]
    run("iptables-restore", "--noflush", stdin="\n".join(["*filter", f":{name} - [0:0]", *lines, "COMMIT", ""]))


def remove_links() -> None:
    """Delete what hangs on the bridge, then the bridge."""
    if not has_bridge():
        return
    for port in Path(f"/sys/class/net/{BRIDGE}/brif").iterdir():
        subprocess.run(["ip", "link", "delete", port.name], check=False, capture_output=True)
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)


def _saved(tool: str) -> str:
    """All rules of one family; none where the kernel has no such family (IPv6 switched off)."""
    done = subprocess.run([f"{tool}-save"], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def restore_iptables(before: dict[str, str]) -> list[str]:
    """Take our chains and rules away; returns a line for each difference from before that remains."""
    differences = []
    for family, tool in _FAMILIES:
        script = iptables.removal(_saved(tool))
        if script:
            run(f"{tool}-restore", "--noflush", stdin=script)
        earlier = before.get(tool, "")
        now = _saved(tool)
        if "nf_tables" in run(tool, "--version"):
            for table in iptables.tables_of(now) - iptables.tables_of(earlier):
                if iptables.is_blank(table, now):
                    subprocess.run(["nft", "delete", "table", family, table], check=False, capture_output=True)
        now = _saved(tool)
        if (
            tool in before
            and not iptables.removal(earlier)
            and iptables.normalised(now) != iptables.normalised(earlier)
        ):
            differences.append(f"{tool} is not as it was before the cluster: something else changed it meanwhile")
    return differences


def restore_sysctls(before: dict[str, str]) -> None:
    """Turn every switch back that differs from before."""
    for name, value in before.items():
        path = _sysctl(name)
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value + "\n")
