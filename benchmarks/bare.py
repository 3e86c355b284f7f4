"""The least a program can do: what the operator is measured against. aiohttp and json, no check, no decision.

    bare.py CONNECTION create FILE    POST the objects of FILE, 16 at a time
    bare.py CONNECTION list SELECTOR  every CronJob with that label, in pages of 500, and a hash of each spec
    bare.py CONNECTION repair PATH    watch one namespace's CronJobs, PUT back each spec that changes

It says `ready`, waits for a line, works, and says how many seconds of CPU that took (`repair` goes on until its input
ends).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

CONCURRENT_REQUESTS = 16
PAGE_SIZE = 500
CRON_JOBS = "/apis/batch/v1/cronjobs"


def session_of(connection: dict[str, str]) -> aiohttp.ClientSession:
    """A session with the API server that `connection` (server, ca, token) names."""
    tls = ssl.create_default_context(cadata=connection["ca"])
    return aiohttp.ClientSession(
        connection["server"],
        connector=aiohttp.TCPConnector(ssl=tls, limit=0),
        headers={"Authorization": f"Bearer {connection['token']}", "User-Agent": "bare"},
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def create(session: aiohttp.ClientSession, objects: list[dict[str, Any]]) -> None:
    """POST them all."""
    left = iter(objects)

    async def work() -> None:
        for body in left:
            path = f"/apis/batch/v1/namespaces/{body['metadata']['namespace']}/cronjobs"
            async with session.post(path, json=body) as response:
                assert response.status == 201, await response.text()
                await response.json()

    await asyncio.gather(*(work() for _ in range(CONCURRENT_REQUESTS)))


async def list_and_hash(session: aiohttp.ClientSession, selector: str) -> int:
    """Read every CronJob with this label and hash its spec; returns how many there were."""
    count, token = 0, ""
    while True:
        query = {"labelSelector": selector, "limit": str(PAGE_SIZE), "continue": token}
        async with session.get(CRON_JOBS, params=query) as response:
            page = json.loads(await response.read())
        for item in page["items"]:
            text = json.dumps(item["spec"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            hashlib.sha256(text.encode()).hexdigest()
        count += len(page["items"])
        token = page["metadata"].get("continue", "")
        if not token:
            return count


async def repair(session: aiohttp.ClientSession, path: str) -> None:
    """Put back what changes, until cancelled."""
    async with session.get(path) as response:
        page = await response.json()
    specs = {item["metadata"]["name"]: item["spec"] for item in page["items"]}
    query = {"watch": "true", "resourceVersion": page["metadata"]["resourceVersion"]}
    async with session.get(path, params=query) as response:
        print("watching", flush=True)
        while line := await response.content.readuntil(b"\n"):
            live = json.loads(line)["object"]
            name = live["metadata"]["name"]
            if name in specs and live["spec"] != specs[name]:
                async with session.put(f"{path}/{name}", json={**live, "spec": specs[name]}) as answer:
                    await answer.read()


async def main(connection: dict[str, str], mode: str, argument: str, objects: list[dict[str, Any]]) -> None:
    """Do what the arguments say."""
    loop = asyncio.get_running_loop()
    async with session_of(connection) as session:
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        before = time.process_time()
        if mode == "create":
            await create(session, objects)
        elif mode == "list":
            print(await list_and_hash(session, argument), flush=True)
        else:
            task = asyncio.create_task(repair(session, argument))
            await loop.run_in_executor(None, sys.stdin.read)
            task.cancel()
        print(time.process_time() - before, flush=True)


if __name__ == "__main__":
    to_create = json.loads(Path(sys.argv[3]).read_text()) if sys.argv[2] == "create" else []
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3], to_create))
