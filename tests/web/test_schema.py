"""The HTTP API against its own OpenAPI file: requests that fit it and that do not, made up by schemathesis."""

import os
import subprocess
import sys

import pytest

from gioconda.motion.templates import TEMPLATES
from gioconda.requests import KINDS, Place, options_of
from programs import address_of, running

httpx = pytest.importorskip("httpx")
pytest.importorskip("schemathesis")
web_requests = pytest.importorskip("gioconda.web.requests")

WORD = "a-word-of-the-tests-only"
CONFIG = """
# files of random bytes fit the schema, and are refused for what they are not
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 415, 422, 429]

[[operations]]
include-name = "GET /v1/jobs/{{job}}"
parameters = {{ "path.job" = "{job}" }}

[[operations]]
include-name = "GET /v1/jobs/{{job}}/result"
parameters = {{ "path.job" = "{job}" }}

[[operations]]
include-name = "GET /v1/jobs/{{job}}/preview"
parameters = {{ "path.job" = "{job}" }}

[[operations]]
include-name = "GET /v1/jobs/{{job}}/events"
parameters = {{ "path.job" = "{job}" }}

[[operations]]
include-name = "POST /v1/jobs/{{job}}/cancel"
parameters = {{ "path.job" = "{job}" }}

[[operations]]
include-name = "DELETE /v1/jobs/{{job}}"
parameters = {{ "path.job" = "{spare}" }}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a real server with a token, and the ids of two jobs that are done."""
    folder = tmp_path_factory.mktemp("serve")
    command = [sys.executable, "-m", "gioconda", "serve", "--port", "0", "--data", str(folder / "data")]
    environment = {**os.environ, "GIOCONDA_TOKEN": WORD, "OMP_NUM_THREADS": "1"}
    log = folder / "log"
    with log.open("w") as errors, running(command, stderr=errors, env=environment) as process:
        address = address_of(process, log)
        yield address, [_done_job(address) for _ in range(2)]


def _done_job(address):
    """The id of a verdict on a file: the quickest job there is."""
    files = {"job": (None, '{"kind": "verify"}'), "file": ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(64))}
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {WORD}"}, timeout=60) as client:
        job = client.post("/v1/jobs", files=files).json()["id"]
        heard = client.get(f"/v1/jobs/{job}/events").text
    assert '"state":"done"' in heard
    return job


@pytest.mark.slow
def test_no_answer_departs_from_the_openapi_file(server, tmp_path):
    address, (job, spare) = server
    (tmp_path / "schemathesis.toml").write_text(CONFIG.format(job=job, spare=spare))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
        *("-H", f"Authorization: Bearer {WORD}", "--phases", "examples,fuzzing", "-n", "3", "--seed", "1"),
        *("--continue-on-failure", "--warnings", "off", "--no-color"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "21 selected / 21 total" in done.stdout
    result = httpx.get(f"{address}/v1/jobs/{job}/result", headers={"Authorization": f"Bearer {WORD}"})
    assert result.json()["status"] == "unreadable", (
        "a job that has ended keeps its result, also when it is cancelled"
    )


def test_the_schema_has_every_option_with_its_bounds():
    schemas = web_requests.JOB.json_schema()["$defs"]
    animate = schemas["AnimateRequest"]["properties"]
    assert animate["template"]["anyOf"][0]["enum"] == list(TEMPLATES)
    assert (animate["strength"]["minimum"], animate["strength"]["maximum"]) == (0, 2)
    for kind, request in KINDS.items():
        fields = set(schemas[f"{kind.capitalize()}Request"]["properties"])
        files = {option.name for option in options_of(request, Place.HTTP) if option.media}
        assert {option.name for option in options_of(request, Place.HTTP)} - files == fields - {
            "kind",
            "format",
            "template",
        }
        assert not fields & {"key", "certificate", "weights", "out", "progress"}, (
            "paths of the server's machine"
        )
