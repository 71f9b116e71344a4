"""No job twice and nothing lost: 429, 5xx, lost answers, expired tokens, lists that lag, and fifty kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from contextune.core.errors import UserError
from contextune.core.files import write_sealed
from contextune.hosted import job
from contextune.hosted.vertex import TOKEN, URL, Lost, Vertex

from .stub import Stub

ROWS = b'{"contents": []}\n'
ORDER = job.Order("p", "l", "bucket", "gemini", "mine")


@pytest.fixture
def stub(monkeypatch):
    made = Stub()
    monkeypatch.setenv(URL, made.url)
    monkeypatch.setenv(TOKEN, "right-token")
    yield made
    made.close()


def service(**options) -> Vertex:
    return Vertex("p", "l", **{"sleep": lambda seconds: None, "timeout": 10.0, **options})


class Clock:
    """Time that passes where the service is waited for."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def __call__(self) -> float:
        return self.time


def submit(folder, order=ORDER, content=ROWS, **options) -> dict:
    clock = Clock()
    with service(sleep=clock.sleep, **options) as opened:
        return job.submit(opened, order, folder, content, now=clock, settle=4.0)


def test_what_is_asked_golden(stub, tmp_path):
    record = submit(tmp_path / "job")
    id = ORDER.id(ROWS)
    assert stub.asked == ["POST upload", "GET jobs", "POST jobs"]
    assert stub.objects == {f"contextune/{id}.jsonl": ROWS}
    (made,) = stub.jobs
    assert {k: made[k] for k in ("baseModel", "tunedModelDisplayName", "labels", "supervisedTuningSpec")} == {
        "baseModel": "gemini",
        "tunedModelDisplayName": "mine",
        "labels": {"contextune": id},
        "supervisedTuningSpec": {
            "trainingDatasetUri": f"gs://bucket/contextune/{id}.jsonl",
            "hyperParameters": {
                "epochCount": "3",
                "learningRateMultiplier": 1.0,
                "adapterSize": "ADAPTER_SIZE_FOUR",
            },
        },
    }
    assert record["job"] == made["name"]
    assert "right-token" not in (tmp_path / "job" / job.FILE).read_text()


def test_given_again_nothing_is_asked(stub, tmp_path):
    first = submit(tmp_path / "job")
    asked = len(stub.asked)
    assert submit(tmp_path / "job") == first
    assert len(stub.asked) == asked


def test_from_another_folder_the_same_job_is_found(stub, tmp_path):
    assert submit(tmp_path / "a")["job"] == submit(tmp_path / "b")["job"]
    assert len(stub.jobs) == 1


def test_another_order_in_the_folder_is_refused(stub, tmp_path):
    submit(tmp_path / "job")
    with pytest.raises(UserError, match="another job"):
        submit(tmp_path / "job", content=b"other\n")
    assert len(stub.jobs) == 1


@pytest.mark.parametrize("fault", ["429", "500", "503", "lost", "dropped", "garbage"])
@pytest.mark.parametrize("lag", [0, 2])
def test_a_fault_at_every_request_in_turn(stub, tmp_path, fault, lag):
    stub.lag = lag
    for at in range(1, 5):
        place = len(stub.asked) + at
        stub.faults = lambda n, kind, place=place: fault if n == place else ""
        order = job.Order("p", "l", "bucket", "gemini", f"mine {at}")
        record = submit(tmp_path / str(at), order)
        named = [j["name"] for j in stub.jobs if j["tunedModelDisplayName"] == f"mine {at}"]
        assert named == [record["job"]]


def test_a_service_that_stays_away(stub, tmp_path):
    stub.faults = lambda n, kind: "503" if kind == "POST jobs" else ""
    with pytest.raises(UserError, match="no job after 3 attempts; at last: 503: fault 503"):
        submit(tmp_path / "job", tries=3)
    stub.faults = lambda n, kind: ""
    assert submit(tmp_path / "job")["job"] == stub.jobs[0]["name"]
    assert len(stub.jobs) == 1


def test_an_expired_token_is_renewed_and_nothing_is_lost(stub, tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, "expired-token")
    with pytest.raises(UserError) as e:
        submit(tmp_path / "job")
    assert "expired-token" not in e.value.message
    assert TOKEN in e.value.hint
    monkeypatch.setenv(TOKEN, "right-token")
    assert submit(tmp_path / "job")["job"] == stub.jobs[0]["name"]


def test_the_token_goes_nowhere_else(monkeypatch):
    monkeypatch.setenv(URL, "http://example.com")
    monkeypatch.setenv(TOKEN, "right-token")
    with pytest.raises(UserError, match="not on this machine"):
        Vertex("p", "l")
    monkeypatch.delenv(TOKEN)
    monkeypatch.delenv(URL)
    with pytest.raises(UserError, match=TOKEN):
        Vertex("p", "l")


@pytest.mark.parametrize("location", ["evil.example/x#", "l@evil.example", "l.evil.example", "L", "", "a\nb"])
def test_a_location_is_no_other_host(monkeypatch, location):
    """A job's folder may come from elsewhere."""
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.setenv(TOKEN, "right-token")
    with pytest.raises(UserError, match="not a location of Vertex AI"):
        Vertex("p", location)
    assert Vertex("p", "europe-west4").api == "https://europe-west4-aiplatform.googleapis.com"


def test_names_that_can_be_none(monkeypatch):
    monkeypatch.setenv(TOKEN, "right-token")
    with pytest.raises(UserError, match="--project 'p/locations'"):
        Vertex("p/locations", "l")
    with pytest.raises(UserError, match="--bucket 'gs://b'") as e:
        job.Order("p", "l", "gs://b", "gemini", "mine")
    assert "without gs://" in e.value.hint


@pytest.mark.parametrize("jobs", [None, [1], [{"labels": None}], {"a": 1}])
def test_a_list_of_another_form_is_no_reason_to_submit(stub, tmp_path, jobs):
    whole = stub.do
    stub.do = lambda method, *rest: (200, {"tuningJobs": jobs}) if method == "GET" else whole(method, *rest)
    with pytest.raises(UserError, match="the list of jobs: the service answers in another form"):
        submit(tmp_path / "job")
    assert stub.jobs == []


def test_a_clock_that_was_set_back_waits_no_longer(stub, tmp_path):
    stub.faults = lambda n, kind: "503" if kind == "POST jobs" else ""
    with pytest.raises(UserError):
        submit(tmp_path / "job", tries=1)
    record = job.read(tmp_path / "job")
    write_sealed(tmp_path / "job" / job.FILE, record | {"sent": record["sent"] + 86_400})
    stub.faults = lambda n, kind: ""
    clock = Clock()
    with service(sleep=clock.sleep) as opened:
        job.submit(opened, ORDER, tmp_path / "job", ROWS, now=clock, settle=4.0)
    assert sum(clock.slept) <= 4.0
    assert len(stub.jobs) == 1


@pytest.mark.parametrize(("said", "seconds"), [(7, 7), (0, 0), (900, 60), (None, 8)])
def test_the_pause_is_what_the_service_asks_for_within_bounds(said, seconds):
    assert Vertex.pause(3, Lost("later", said)) == seconds


class Killed(BaseException):
    pass


def test_fifty_kills_between_any_two_steps(stub, tmp_path, monkeypatch):
    """Before or after any request, while the list lags: one job for each order, its name in the record."""
    rng = random.Random(0)
    stub.lag = 1
    whole = Vertex._once
    kills = 0
    for n in range(200):
        if kills >= 50:
            break
        folder, order = tmp_path / str(n), job.Order("p", "l", "bucket", "gemini", f"mine {n}")
        while True:
            left, after = rng.randrange(1, 10), rng.random() < 0.5

            def once(self, *args, left=[left], after=after, **more):  # noqa: B006
                left[0] -= 1
                if left[0] == 0 and not after:
                    raise Killed
                said = whole(self, *args, **more)
                if left[0] == 0:
                    raise Killed
                return said

            monkeypatch.setattr(Vertex, "_once", once)
            try:
                record = submit(folder, order)
            except Killed:
                kills += 1
                continue
            break
        assert [j["name"] for j in stub.jobs if j["tunedModelDisplayName"] == f"mine {n}"] == [record["job"]]
    assert kills >= 50


def test_status_is_polled_until_the_end_and_kept(stub, tmp_path):
    submit(tmp_path / "job")
    stub.faults = lambda n, kind: "500" if n % 2 else ""
    said: list[str] = []
    with service() as opened:
        record = job.status(opened, tmp_path / "job", wait=True, poll=1, say=said.append)
    assert (record["state"], record["billed"]) == (job.DONE, 1234)
    assert [line.rpartition(" ")[2] for line in said] == ["JOB_STATE_PENDING", "JOB_STATE_RUNNING"]
    assert job.known(tmp_path / "job")["model"]["endpoint"] == "projects/p/locations/l/endpoints/7"


def test_status_of_nothing(tmp_path):
    with pytest.raises(UserError, match="no job was submitted from here"):
        job.known(tmp_path)


def test_a_damaged_record_finds_its_job_again(stub, tmp_path):
    submit(tmp_path / "job")
    (tmp_path / "job" / job.FILE).write_text("{")
    with pytest.raises(UserError, match="damaged") as e:
        submit(tmp_path / "job")
    assert "submits no second one" in e.value.hint
    (tmp_path / "job" / job.FILE).unlink()
    submit(tmp_path / "job")
    assert len(stub.jobs) == 1


def test_price():
    assert job.price(2_000_000, 3, 5.0) == 30.0


SCRIPT = """
import sys
from pathlib import Path
from contextune.hosted import job
from contextune.hosted.vertex import Vertex
with Vertex("p", "l") as service:
    order = job.Order("p", "l", "bucket", "gemini", sys.argv[2])
    job.submit(service, order, Path(sys.argv[1]), b"{}", settle=1.0)
"""


@pytest.mark.slow
def test_fifty_times_sigkill(stub, tmp_path):
    """A process that is killed at a random moment, again and again until it is done."""
    rng = random.Random(1)
    stub.faults = lambda n, kind: time.sleep(0.05) or ("lost" if n % 7 == 0 else "429" if n % 5 == 0 else "")
    kills, number = 0, 0
    while kills < 50:
        number += 1
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / str(number)), f"mine {number}"]
        while True:
            asked = len(stub.asked)
            process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE)
            while process.poll() is None and len(stub.asked) == asked:
                time.sleep(0.002)
            try:
                process.wait(rng.uniform(0.0, 0.4))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                continue
            assert process.returncode == 0, process.stderr.read()
            break
        named = [j["name"] for j in stub.jobs if j["tunedModelDisplayName"] == f"mine {number}"]
        assert named == [job.known(tmp_path / str(number))["job"]]
