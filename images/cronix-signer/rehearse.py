"""Runs the signer through its paths and writes the names of the modules that it loaded to WORK/modules.

Run as ``python3 -I -S rehearse.py SOURCE WORK``: an https call that succeeds, one with every further signature, one to
a closed port, one whose certificate is not trusted, a job file that is no JSON. What the signer loads only on a path
that is not rehearsed here is not in the image.
"""

import posix
import sys

source, work = sys.argv[1:]
sys.path.insert(0, source)

from cronix_shim.__main__ import main  # noqa: E402  # after the path is set

JOB = (
    '{"app":"rehearsal","job":{"name":"x","request":{"url":"%s"},"policy":{"timeout_seconds":20,'
    '"retries":{"max_attempts":1}}},"secret_refs":["raw:rehearsal-key"],"fire":{"ca_file":"%s","schemes":[%s]}}'
)
SCHEMES = ",".join(
    f'{{"type":"{kind}","files":["{work}/key"],"sha1":true}}'
    for kind in ("StandardWebhooks", "GitHub", "Stripe", "QStash", "SignedForm")
)
TRUSTED = work + "/cert.pem"


def run(text: str) -> int:
    """Return the exit code of the signer with this job file."""
    path = work + "/job.json"
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123  # pathlib would count as loaded
        file.write(text)
    return main(["--job-file", path])


posix.environ[b"CRONIX_TERMINATION_LOG"] = work.encode() + b"/message"
with open(work + "/port", encoding="ascii") as file:  # noqa: PTH123  # see above
    port = file.read()
with open(work + "/key", "w", encoding="ascii") as file:  # noqa: PTH123  # see above
    file.write("whsec_cmVoZWFyc2Fs")
codes = [
    run(JOB % (f"https://localhost:{port}/", TRUSTED, "")),
    run(JOB % (f"https://localhost:{port}/", TRUSTED, SCHEMES)),
    run(JOB % ("http://localhost:1/", "", "")),
    run(JOB % (f"https://127.0.0.1:{port}/", "", "")),
    run("{"),
]
if codes != [0, 0, 2, 2, 3]:
    sys.exit(f"the rehearsal went wrong: exit codes {codes}, want [0, 0, 2, 2, 3]")
with open(work + "/modules", "w", encoding="utf-8") as file:  # noqa: PTH123  # see above
    file.write("\n".join(sorted(sys.modules)))
