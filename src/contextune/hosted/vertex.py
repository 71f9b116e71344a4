"""The Gemini API on Vertex AI, as far as tuning needs it: a file, a job, its state, its model's answers.

    POST storage…/upload/storage/v1/b/BUCKET/o?name=…&ifGenerationMatch=0    a name of its content: never twice
    GET  …/v1/projects/P/locations/L/tuningJobs?filter=labels.contextune=ID  found again after a lost answer
    POST …/v1/projects/P/locations/L/tuningJobs                              never without having looked before
    GET  …/v1/projects/P/locations/L/tuningJobs/N
    POST …/v1/ENDPOINT:generateContent

The access token comes from the environment alone and goes to Google's hosts alone, or to a server on this machine that
stands for them.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx2

from contextune.core.errors import UserError
from contextune.core.reading import whole_number
from contextune.generation.key import check_key, scrubbed
from contextune.generation.proxies import is_loopback

TOKEN = "GOOGLE_OAUTH_ACCESS_TOKEN"
URL = "CONTEXTUNE_VERTEX_URL"
"""A server on this machine in Google's place, for tests."""
RENEW = f'export {TOKEN}="$(gcloud auth print-access-token)", then give the same command again: nothing is lost'
TRIES = 7
LONGEST = 60.0
"""Seconds between two attempts, at most."""
LABEL = "contextune"
PLACE = re.compile(r"[a-z][a-z0-9-]{0,40}")
"""A location: part of the host's name, so that nothing else may be in it."""
PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]{0,100}")
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}")


class Lost(Exception):
    """No answer, or one that says that the service failed: whether it did what was asked is not known.

    `after`: seconds for which the service asks to be left alone.
    """

    def __init__(self, said: str, after: float | None = None) -> None:
        super().__init__(said)
        self.after = after


class Vertex:
    """A project at a location; `sleep` and `tries` are for tests. UserError where the environment has no token."""

    def __init__(
        self, project: str, location: str, *, timeout: float = 60.0, tries: int = TRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.project, self.location, self.tries, self.sleep = project, location, tries, sleep
        if not PROJECT.fullmatch(project):
            raise UserError(f"--project {project!r:.60}: not the id of a Google Cloud project", "gcloud projects list")
        if not PLACE.fullmatch(location):
            raise UserError(f"--location {location!r:.60}: not a location of Vertex AI", "e.g. us-central1, or global")
        own = os.environ.get(URL, "")
        if own and not is_loopback(own):
            raise UserError(f"{URL} is {own}, not on this machine: no token is sent there", f"unset {URL}")
        host = "aiplatform" if location == "global" else f"{location}-aiplatform"
        self.api = own or f"https://{host}.googleapis.com"
        self.storage = own or "https://storage.googleapis.com"
        self.token = os.environ.get(TOKEN, "")
        if not self.token:
            raise UserError(f"the environment has no {TOKEN}", RENEW)
        check_key(self.token, TOKEN)
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if own.startswith("http:") else True  # no need of certificates
        self._client = httpx2.Client(timeout=timeout, follow_redirects=False, trust_env=not own, verify=verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    def upload(self, bucket: str, name: str, content: bytes) -> str:
        """The gs:// URI of the content, which is written only where nothing has that name."""
        params = {"uploadType": "media", "name": name, "ifGenerationMatch": "0"}
        url = f"{self.storage}/upload/storage/v1/b/{bucket}/o"
        self._again("POST", url, params=params, content=content, there=(412,), type="application/jsonl")
        return f"gs://{bucket}/{name}"

    def find(self, id: str) -> dict[str, Any] | None:
        """The job with that label, the first of them; None where the service knows of none."""
        found, page = list[dict[str, Any]](), ""
        while True:
            params = {"filter": f"labels.{LABEL}={id}", "pageSize": "100", **({"pageToken": page} if page else {})}
            said = self._again("GET", f"{self.api}/v1/{self.parent}/tuningJobs", params=params)
            with documented("the list of jobs"):
                found += [j for j in said.get("tuningJobs", []) if j.get("labels", {}).get(LABEL) == id]
            page = str(said.get("nextPageToken", ""))
            if not page:
                return min(found, key=lambda j: str(j.get("createTime", "")), default=None)

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Asks for a job, once. Raises Lost where it is not known whether there is one now."""
        return self._once("POST", f"{self.api}/v1/{self.parent}/tuningJobs", json=dict(body))

    def job(self, name: str) -> dict[str, Any]:
        return self._again("GET", f"{self.api}/v1/{name}")

    def generate(self, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What a model, or a tuned model's endpoint, answers; Lost where it is not to be had for now."""
        place = model if model.startswith("projects/") else f"{self.parent}/publishers/google/models/{model}"
        return self._again("POST", f"{self.api}/v1/{place}:generateContent", json=dict(body))

    def _again(self, method: str, url: str, **asked: Any) -> dict[str, Any]:
        """What may be asked as often as one likes: until there is an answer, less and less often."""
        for attempt in range(self.tries):
            try:
                return self._once(method, url, **asked)
            except Lost as e:
                if attempt == self.tries - 1:
                    raise UserError(
                        f"{method} {_short(url)}: no answer after {self.tries} attempts; at last: {e}",
                        "give the same command again later: what is done is not done again",
                    ) from None
                self.sleep(self.pause(attempt, e))
        raise AssertionError

    @staticmethod
    def pause(attempt: int, error: Lost) -> float:
        """Seconds before the next attempt: what the service asks for, else twice as many each time."""
        return min(LONGEST, error.after if error.after is not None else 2.0**attempt)

    def _once(self, method: str, url: str, there: tuple[int, ...] = (), type: str = "", **asked: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", **({"Content-Type": type} if type else {})}
        try:
            response = self._client.request(method, url, headers=headers, **asked)
            status = response.status_code
            if status in there:
                return {}
            body = response.json() if response.content else {}
        except httpx2.TransportError as e:
            raise Lost(self._shown(f"{e.__class__.__name__}: {e}")) from None
        except ValueError:
            if status < 400:
                raise Lost("an answer that is no JSON") from None
            body = {}
        if 200 <= status < 300 and isinstance(body, dict):
            return body
        said = body.get("error", {}) if isinstance(body, dict) else {}
        words = self._shown(f"{status}: {said.get('message', '') if isinstance(said, dict) else said}"[:2000])
        if status == 401:
            raise UserError(f"{_short(url)}: the service does not take the token, or no longer ({words})", RENEW)
        if status in (408, 409, 425, 429) or status >= 500:
            raise Lost(words, whole_number(response.headers.get("retry-after", "")))
        raise UserError(f"{method} {_short(url)}: the service refuses ({words})", _HINTS.get(status, "see its words"))

    def _shown(self, text: str) -> str:
        return scrubbed(text, self.token)[:300]


@contextmanager
def documented(what: str) -> Iterator[None]:
    """Within: an answer of another form than the service documents is a UserError."""
    try:
        yield
    except (TypeError, AttributeError, LookupError, ValueError) as e:
        raise UserError(
            f"{what}: the service answers in another form than it documents ({e})", "try again later"
        ) from None


_HINTS = {
    400: "look at --model, --epochs and the other options",
    403: "does the account have the roles Vertex AI User and Storage Object Admin in this project?",
    404: "look at --project, --location, --bucket and --model",
}


def _short(url: str) -> str:
    return url.partition("?")[0]
