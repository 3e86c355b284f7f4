"""Makes the file tree of the signer's image: ``python3 collect.py SOURCE TARGET``, in the build stage only.

The list of files is found, not written: the signer is run through its paths (rehearse.py), and what it loaded is taken:
modules as sourceless .pyc without docstrings, extension modules, the interpreter, and the libraries that ldd names for
them. CAs lie one per file under their hash, where OpenSSL looks up the one that it needs; a bundle would be read whole
in every run.
"""

import importlib.util
import py_compile
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

INTERPRETER = Path("/usr/bin/python3.13")
STDLIB = Path("/usr/lib/python3.13")
CA_FOLDER = Path("/usr/lib/ssl/certs")
MAIN = """\
import posix
from cronix_shim.__main__ import main
posix._exit(main())
"""


def rehearsed_modules(source: Path) -> list[str]:
    """Return the names of all modules that a run of the signer loads."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        openssl = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
        subprocess.run(
            [*openssl.split(), "-addext", "subjectAltName=DNS:localhost"], cwd=work, check=True, capture_output=True
        )
        (work / "port").write_text(str(serve_tls(work)))
        rehearse = Path(__file__).with_name("rehearse.py")
        subprocess.run([INTERPRETER, "-I", "-S", "-B", rehearse, source, work], check=True)
        return (work / "modules").read_text().split()


def serve_tls(work: Path) -> int:
    """Answer every https request on a free port with 200, until this program ends; return the port."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "cert.pem", work / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def compile_module(path: Path, target: Path, shown: str) -> None:
    """Write ``target``.pyc that Python loads without a look at any source or clock."""
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(path), str(target), dfile=shown, doraise=True, optimize=2, invalidation_mode=mode)


def take_modules(names: list[str], source: Path, root: Path) -> list[Path]:
    """Compile what is Python, copy what is an extension; return the extensions' paths."""
    sys.path.insert(0, str(source))
    extensions = []
    for name in [*names, "os"]:  # os: the interpreter knows its library by the file, though it never reads it
        spec = None if name in {"__main__", "os"} else importlib.util.find_spec(name)
        origin = str(STDLIB / "os.py") if name == "os" else spec.origin if spec is not None else None
        if origin is None or origin in {"built-in", "frozen"}:
            continue
        path = Path(origin)
        if path.suffix == ".py":
            base = source if path.is_relative_to(source) else STDLIB
            relative = path.relative_to(base).with_suffix(".pyc")
            compile_module(path, root / STDLIB.relative_to("/") / relative, str(relative.with_suffix(".py")))
        else:
            extensions.append(path)
    return extensions


def libraries(files: list[Path]) -> set[Path]:
    """Return the shared libraries, the loader among them, that ``files`` are linked with."""
    listing = subprocess.run(["ldd", *files], check=True, capture_output=True, text=True).stdout
    return {
        Path(word) for line in listing.splitlines() for word in line.split() if word.startswith("/") and ":" not in word
    }


def copy(path: Path, root: Path) -> None:
    """Copy a file, as itself even if it is a link, to the same place under ``root``."""
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path.resolve(), target)


def take_authorities(root: Path) -> int:
    """Copy the CAs under their hash names; return how many."""
    hashed = [path for path in CA_FOLDER.iterdir() if path.suffix.removeprefix(".").isdigit()]
    for path in hashed:
        copy(path, root)
    return len(hashed)


def main() -> None:
    """Make the tree and say what is in it."""
    source, root = Path(sys.argv[1]), Path(sys.argv[2])
    names = rehearsed_modules(source)
    binaries = [INTERPRETER, *take_modules(names, source, root)]
    for path in [*binaries, *libraries(binaries)]:
        copy(path, root)
    (root / STDLIB.relative_to("/") / "lib-dynload").mkdir(exist_ok=True)  # its absence would be told on every start
    authorities = take_authorities(root)
    (root / "etc").mkdir()
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "main.py")
        script.write_text(MAIN)
        compile_module(script, root / "usr/lib/cronix-signer.pyc", "cronix-signer")
    files = [path for path in root.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    sys.stdout.write(f"{len(names)} modules, {authorities} CAs, {len(files)} files, {size / 1e6:.1f} MB\n")


main()
