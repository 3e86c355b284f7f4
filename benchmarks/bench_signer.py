"""How long from exec to the first byte of the request, beside curl and a bare interpreter, in the same minute.

The signer is the one of its image, run in the image's own files by chroot; curl and the rest are run through chroot
too, so that all pay for it. All take turns, a ratio is taken within each round, the table shows the medians over all
rounds. Limits: 3 times curl over http, 4 times over https, 20 MiB at the peak, 9 MB compressed. Needs root, curl,
openssl and the local cluster's buildah (`make cluster-up`); without them it says so and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
KEY = "bench-key-0123456789abcdef"
ROUNDS = 40
LIMITS = {"signer, http": 3.0, "signer, https": 4.0, "signer, https, system CAs": 4.0}
RSS_LIMIT_KIB, IMAGE_LIMIT_BYTES = 20 * 1024, 9_000_000
CHROOT = "/usr/sbin/chroot"
CONNECT = """\
import sys, _socket
connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
connection.connect(("127.0.0.1", int(sys.argv[1])))
connection.send(b"GET / HTTP/1.1\\r\\n\\r\\n")
connection.recv(99)
"""


class Listener:
    """Takes one request at a time and tells when its first byte came; speaks TLS where it has a context."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)  # a program that does not connect ends the benchmark
        self.port: int = self._listener.getsockname()[1]

    def time_of(self, command: list[str], env: dict[str, str], *, hello: bool) -> tuple[float, int]:
        """Seconds from before exec to the first byte (of the TLS greeting if ``hello``), and the peak RSS in KiB."""
        start = time.perf_counter()
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(20)
                if hello:
                    connection.recv(1)
                    seconds = time.perf_counter() - start
                    return seconds, peak_rss(process.pid)
                talking = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
                talking.recv(1)
                seconds = time.perf_counter() - start
                rss = peak_rss(process.pid)
                talking.recv(65536)
                talking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                talking.close()
        return seconds, rss


def peak_rss(pid: int) -> int:
    """KiB; VmHWM, because rusage's maximum counts the parent's memory before exec."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def certificate(folder: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that is its own CA, and a server context with it."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out ca.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def unpack_image(folder: Path) -> tuple[str, int]:
    """Build the signer's image if need be and unpack it; return its reference and its compressed size in bytes."""
    sys.path.insert(0, str(REPOSITORY / "cluster"))
    from cronix_cluster.image_builds import Buildah, build_and_deliver
    from cronix_cluster.paths import Paths

    reference = build_and_deliver(Paths(), ["cronix-signer"], os.environ)["cronix-signer"]
    Buildah(Paths())("push", "--quiet", "--format", "oci", reference, f"oci:{folder / 'oci'}:image")
    blobs = sorted((folder / "oci/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    with tarfile.open(blobs[-1]) as layer:
        layer.extractall(folder / "root", filter="tar")
    return reference, sum(blob.stat().st_size for blob in blobs)


def job_file(url: str, ca_file: str) -> str:
    """One attempt at a URL."""
    policy = {"timeout_seconds": 20, "retries": {"max_attempts": 1, "min_seconds": 0, "max_seconds": 1}}
    job = {"name": "bench", "schedules": ["* * * * *"], "timezone": "UTC", "policy": policy}
    job["request"] = {"method": "POST", "url": url, "headers": {}, "body": "hello"}
    fire = {"ca_file": ca_file} if ca_file else {}
    return json.dumps({"app": "bench", "job": job, "secret_refs": ["file:/key"], "schedule_index": 0, "fire": fire})


def candidates(root: Path, ca: Path) -> dict[str, tuple[list[str], dict[str, str], bool, bool]]:
    """By name: command, environment, TLS or not, only up to the TLS greeting or not; {port} is filled in later."""
    python = [CHROOT, str(root), "/usr/bin/python3.13", "-I", "-S", "-B"]
    signer = [*python, "/usr/lib/cronix-signer.pyc"]
    curl = [CHROOT, "/", shutil.which("curl") or "curl", "--silent", "--request", "POST", "--data", "hello"]
    (root / "key").write_text(KEY)
    (root / "bare.py").write_text(CONNECT)
    (root / "ca.pem").write_bytes(ca.read_bytes())
    url = "{scheme}://127.0.0.1:{port}/run"
    http, https = (url.replace("{scheme}", scheme) for scheme in ("http", "https"))
    return {
        "curl, http": ([*curl, http], {}, False, False),
        "bare interpreter that connects": ([*python, "/bare.py", "{port}"], {}, False, False),
        "signer, http": (signer, {"CRONIX_JOB": job_file(http, "")}, False, False),
        "curl, https": ([*curl, "--cacert", str(ca), https], {}, True, False),
        "signer, https": (signer, {"CRONIX_JOB": job_file(https, "/ca.pem")}, True, False),
        "curl, https, system CAs": ([*curl, https], {}, True, True),
        "signer, https, system CAs": (signer, {"CRONIX_JOB": job_file(https, "")}, True, True),
    }


def measure(root: Path, folder: Path, rounds: int) -> dict[str, list[tuple[float, int]]]:
    """Take turns; one figure and one peak for each name and round."""
    plain, secure = Listener(), Listener(certificate(folder))
    figures: dict[str, list[tuple[float, int]]] = {}
    for turn in range(rounds + 2):  # the first two warm the page cache
        for name, (command, env, tls, hello) in candidates(root, folder / "ca.pem").items():
            listener = secure if tls else plain
            filled = [word.replace("{port}", str(listener.port)) for word in command]
            environment = {key: value.replace("{port}", str(listener.port)) for key, value in env.items()}
            figure = listener.time_of(filled, environment, hello=hello)
            if turn >= 2:
                figures.setdefault(name, []).append(figure)
    return figures


def where_it_goes(root: Path) -> list[dict[str, object]]:
    """What a start imports and how long each takes by itself, the longest first, from the interpreter's own log."""
    command = [
        CHROOT,
        str(root),
        "/usr/bin/python3.13",
        "-I",
        "-S",
        "-B",
        "-X",
        "importtime",
        "/usr/lib/cronix-signer.pyc",
    ]
    log = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stderr
    rows = [
        line.removeprefix("import time:").split("|") for line in log.splitlines() if line.startswith("import time:")
    ]
    found = [{"module": row[2].strip(), "microseconds": int(row[0])} for row in rows if row[0].strip().isdigit()]
    return sorted(found, key=lambda row: -int(str(row["microseconds"])))


def table(figures: dict[str, list[tuple[float, int]]]) -> list[dict[str, object]]:
    """Rows with medians, and the ratio to curl of the same kind."""
    rows: list[dict[str, object]] = []
    for name, each in figures.items():
        curl = "curl, http" if "http" not in name else name.replace("signer", "curl")
        ratio = statistics.median(mine[0] / base[0] for mine, base in zip(each, figures[curl], strict=True))
        seconds = sorted(figure[0] for figure in each)
        rows.append(
            {
                "what": name,
                "milliseconds": round(statistics.median(seconds) * 1e3, 2),
                "p90": round(seconds[len(seconds) * 9 // 10] * 1e3, 2),
                "fastest": round(seconds[0] * 1e3, 2),
                "ratio": round(ratio, 2),
                "limit": LIMITS.get(name),
                "peak_rss_kib": max(figure[1] for figure in each),
            }
        )
    return rows


def main() -> int:
    """Print the table, leave the raw figures, and fail when a limit is passed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    missing = [name for name in ("curl", "openssl", "buildah") if shutil.which(name) is None]
    if os.geteuid() or missing or not Path("/run/cronix-cluster").exists():
        print(f"signer: not measured; needs root, the local cluster and {', '.join(missing) or 'its buildah'}")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reference, compressed = unpack_image(folder)
        files = [path for path in (folder / "root").rglob("*") if path.is_file() and not path.is_symlink()]
        unpacked = sum(path.stat().st_size for path in files)
        figures = measure(folder / "root", folder, rounds)
        imports = where_it_goes(folder / "root")
    rows = table(figures)
    load = os.getloadavg()[0]
    print(
        f"\nsigner, exec to the first byte of the request; {rounds} rounds, load {load:.1f} on {os.cpu_count()} cores\n"
    )
    print(f"| {'what':<30} |     ms |    p90 | fastest | x curl | limit | peak RSS MiB |")
    print(f"|{'-' * 32}|{'-' * 8}|{'-' * 8}|{'-' * 9}|{'-' * 8}|{'-' * 7}|{'-' * 14}|")
    for row in rows:
        limit = f"{row['limit']:.0f}x" if row["limit"] else ""
        rss = int(str(row["peak_rss_kib"])) / 1024
        print(
            f"| {row['what']:<30} | {row['milliseconds']:>6.1f} | {row['p90']:>6.1f} | {row['fastest']:>7.1f} "
            f"| {row['ratio']:>5.2f}x | {limit:>5} | {rss:>12.1f} |"
        )
    print(f"\nimage: {compressed / 1e6:.2f} MB compressed, {unpacked / 1e6:.1f} MB unpacked, {len(files)} files")
    print("imports of a start: " + ", ".join(f"{row['module']} {row['microseconds']} µs" for row in imports[:8]))
    result = {
        "machine": {"cores": os.cpu_count(), "load": load, "kernel": platform.release(), "bench_python": sys.version},
        "image": {
            "reference": reference,
            "compressed_bytes": compressed,
            "unpacked_bytes": unpacked,
            "files": len(files),
        },
        "rows": rows,
        "imports": imports,
        "figures": figures,
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "signer.json").write_text(json.dumps(result))
    signer_rss = max(int(str(row["peak_rss_kib"])) for row in rows if str(row["what"]).startswith("signer"))
    over = [row for row in rows if isinstance(row["limit"], float) and float(str(row["ratio"])) > row["limit"]]
    return 1 if over or signer_rss > RSS_LIMIT_KIB or compressed > IMAGE_LIMIT_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
