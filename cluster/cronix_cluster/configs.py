"""Contents of the components' configuration files; pure text, no I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cronix_cluster.network import BRIDGE, NODE_NAME, node_address, pod_network

if TYPE_CHECKING:
    from pathlib import Path

    from cronix_cluster.paths import Paths

# Pods of this cluster, and nothing else on this machine, live in cgroups below this one.
CGROUP = "cronix-cluster"
CNI_NETWORK = "cronix-cluster"
_SYSTEM_READERS = (
    "system:kube-scheduler", "system:kube-controller-manager", "system:apiserver", "system:kube-proxy",
    "system:coredns",
    f"system:node:{NODE_NAME}",
)  # fmt: skip


def containerd(paths: Paths, *, cni_bin: Path, snapshotter: str, sandbox_image: str) -> str:
    """containerd's own root, state, socket and network namespaces: nothing shared with another containerd.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE a sandbox dies when its score is to be lowered.
    """
    cri = '[plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{paths.containerd_root}"
state = "{paths.containerd_state}"
oom_score = 0

[grpc]
  address = "{paths.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.state}/opt"

{cri}]
  sandbox_image = "{sandbox_image}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"

{cri}.cni]
  bin_dir = "{cni_bin}"
  conf_dir = "{paths.config}/cni"

{cri}.containerd]
  snapshotter = "{snapshotter}"
  default_runtime_name = "runc"

{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = "{paths.run}/runc"
"""


def cni(paths: Paths) -> str:
    """Bridge with masquerading towards the outside, addresses from the pods' network, hostPort support."""
    network = pod_network()
    ranges = [[{"subnet": str(network), "gateway": node_address(), "rangeStart": str(network[10])}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": f"{paths.run}/cni"}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": CNI_NETWORK, "plugins": [bridge, portmap]}, indent=2)


def kubelet(paths: Paths) -> str:
    """Ordinary behaviour (sync and report frequencies stay the defaults), relaxed about disk and swap."""
    pki = paths.pki
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "failSwapOn": False,
        "failCgroupV1": False,
        "podLogsDir": str(paths.pod_logs),
        "volumePluginDir": f"{paths.state}/volume-plugins",
        "clusterDNS": [node_address()],
        "clusterDomain": "cluster.local",
        "maxPods": 250,
        "serializeImagePulls": False,
        # Images come from local builds only: what the kubelet collects cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "64Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "enforceNodeAllocatable": ["pods"],
        "oomScoreAdj": 0,
    }
    return json.dumps(config, indent=2)


def kube_proxy(paths: Paths, *, bridge_is_filtered: bool) -> str:
    """Iptables mode; conntrack limits untouched. Without br_netfilter the answer of a pod behind a Service would bypass
    the translation back, so there everything is masqueraded."""
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": f"{paths.config}/kube-proxy.kubeconfig"},
        "clusterCIDR": str(pod_network()),
        "hostnameOverride": NODE_NAME,
        "bindAddress": "127.0.0.1",
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        "iptables": {"masqueradeAll": not bridge_is_filtered, "minSyncPeriod": "0s"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return json.dumps(config, indent=2)


def corefile(paths: Paths) -> str:
    """Cluster names only: a name that is not the cluster's is refused at once instead of timing out."""
    return f"""cluster.local in-addr.arpa ip6.arpa {{
    bind {node_address()}
    ready 127.0.0.1:18181
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {paths.config}/coredns.kubeconfig cronix-local
        pods insecure
        ttl 5
    }}
}}
"""


def audit_policy() -> str:
    """Who did what to which object, never the object (a Secret would be in it); the machinery's reading is left out."""
    no_noise = [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
         "namespaces": ["kube-system", "kube-node-lease"]},
        {"level": "None", "users": list(_SYSTEM_READERS), "verbs": ["get", "list", "watch"]},
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"], "verbs": ["get", "list", "watch"]},
    ]  # fmt: skip
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [*no_noise, {"level": "Metadata"}],
    }
    return json.dumps(policy, indent=2)


def dns_access() -> tuple[tuple[str, dict[str, object]], ...]:
    """What CoreDNS may read, as (collection path, object)."""
    metadata = {"name": "system:coredns"}
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    group = "rbac.authorization.k8s.io"
    role: dict[str, object] = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
    binding: dict[str, object] = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "system:coredns"}],
    }
    base = f"/apis/{group}/v1"
    return ((f"{base}/clusterroles", role), (f"{base}/clusterrolebindings", binding))
