"""A stand-in for Vertex AI and Cloud Storage on this machine, with the faults that services have.

What it holds to, from Google's documentation: an upload with ifGenerationMatch=0 to a name that is there is refused
with 412; tuningJobs.create makes a job at every call, whatever its labels; lists are filtered by label and come in
pages; a job goes from pending to running to succeeded; generateContent wants a user's turn first.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Stub:
    """`faults(number of the request, "METHOD kind")` says what happens to it: "" or "429", "500", "401", "lost" (done,
    but the answer is not sent), "dropped" (not done, no answer), "garbage"."""

    def __init__(self, faults: Callable[[int, str], str] = lambda n, kind: "", page: int = 2, lag: int = 0) -> None:
        self.faults, self.page, self.lag = faults, page, lag
        self.objects: dict[str, bytes] = {}
        self.jobs: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.prompts: list[str] = []
        self.lists_since_created = 0
        self.answer: Callable[[str], str] = lambda prompt: "yes"
        self.lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stub.serve(self, "GET")

            def do_POST(self) -> None:
                stub.serve(self, "POST")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def serve(self, http: BaseHTTPRequestHandler, method: str) -> None:
        body = http.rfile.read(int(http.headers.get("Content-Length", 0)))
        path, _, query = http.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        kind = "upload" if "/upload/" in path else "generate" if "generateContent" in path else "jobs"
        with self.lock:
            self.asked.append(f"{method} {kind}")
            fault = self.faults(len(self.asked), f"{method} {kind}")
            if http.headers.get("Authorization") != "Bearer right-token":
                fault = "401"
            if fault in ("429", "500", "503", "401"):
                return self.send(http, int(fault), {"error": {"message": f"fault {fault}"}})
            if fault != "dropped":
                status, said = self.do(method, kind, path, asked, body)
        if fault in ("lost", "dropped"):
            http.close_connection = True
            http.connection.close()
            return None
        if fault == "garbage":
            return self.send(http, 200, b"<html>")
        return self.send(http, status, said)

    @staticmethod
    def send(http: BaseHTTPRequestHandler, status: int, said: Any) -> None:
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        http.send_response(status)
        http.send_header("Content-Length", str(len(content)))
        if status == 429:
            http.send_header("Retry-After", "0")
        http.end_headers()
        http.wfile.write(content)

    def do(self, method: str, kind: str, path: str, asked: dict[str, str], body: bytes) -> tuple[int, Any]:
        if kind == "upload":
            if asked["name"] in self.objects and asked.get("ifGenerationMatch") == "0":
                return 412, {"error": {"message": "precondition"}}
            self.objects[asked["name"]] = body
            return 200, {"name": asked["name"]}
        if kind == "generate":
            turns = json.loads(body)["contents"]
            if turns[0]["role"] != "user":
                return 400, {"error": {"message": "a user's turn first"}}
            prompt = turns[-1]["parts"][0]["text"]
            self.prompts.append(prompt)
            parts = [{"text": self.answer(prompt)}]
            return 200, {
                "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1},
            }
        if method == "POST":
            told = json.loads(body)
            uri = told["supervisedTuningSpec"]["trainingDatasetUri"]
            if uri.removeprefix("gs://bucket/") not in self.objects:
                return 400, {"error": {"message": f"no such object {uri}"}}
            name = f"projects/p/locations/l/tuningJobs/{len(self.jobs) + 1}"
            job = {"name": name, "state": "JOB_STATE_PENDING", "createTime": f"2026-{len(self.jobs):04}", **told}
            self.jobs.append(job)
            self.lists_since_created = 0
            return 200, job
        if path.endswith("/tuningJobs"):
            self.lists_since_created += 1
            wanted = re.fullmatch(r"labels\.contextune=(\w+)", asked["filter"])
            seen = self.jobs if self.lists_since_created > self.lag else self.jobs[:-1]
            found = [j for j in seen if j["labels"]["contextune"] == wanted[1]]
            start = int(asked.get("pageToken", 0))
            more = {"nextPageToken": str(start + self.page)} if start + self.page < len(found) else {}
            return 200, {"tuningJobs": found[start : start + self.page], **more}
        job = next(j for j in self.jobs if path.endswith(j["name"]))
        steps = ["JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
        shown = dict(job)
        job["state"] = steps[min(2, steps.index(job["state"]) + 1)]
        if shown["state"] == "JOB_STATE_SUCCEEDED":
            shown["tunedModel"] = {"model": "m", "endpoint": "projects/p/locations/l/endpoints/7"}
            shown["tuningDataStats"] = {"supervisedTuningDataStats": {"totalBillableTokenCount": "1234"}}
        return 200, shown
