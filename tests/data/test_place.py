from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from huggingface_hub import constants
from pydantic import ValidationError
from synthetic import write_parquet

from valley.data.sources.place import Place
from valley.errors import UserError

REVISION, OTHER = "a" * 40, "b" * 40
GROUPS = [["train-*.parquet"]]


@pytest.fixture
def folder(spaced):
    write_parquet(spaced / "set" / "train-00000-of-00001.parquet", [{"a": 1}])
    return spaced / "set"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "expected `path`"),
        ({"path": "x", "hub": "a/b", "revision": REVISION}, "one of them only"),
        ({"hub": "a/b"}, "hub a/b needs a `revision`"),
        ({"hub": "a/b", "revision": "main"}, "found 'main'; expected a commit, all 40 digits"),
        ({"hub": "a/b", "revision": "eadf5359"}, "expected a commit, all 40 digits"),
        ({"hub": "a/b", "revision": f"{REVISION}\n"}, "expected a commit, all 40 digits"),
        ({"hub": "../x", "revision": REVISION, "file": 1}, "file"),
    ],
)
def test_a_place_is_local_or_pinned(settings, message):
    with pytest.raises(ValidationError, match=message):
        Place(**settings)


def test_a_hub_is_known_by_its_revision_and_local_files_by_content(folder, spaced):
    hub = Place(hub="org/set", revision=REVISION)
    assert hub.identity("x", GROUPS) == {"hub": "org/set", "revision": REVISION}
    assert not hub.missing()
    local = Place(path=str(folder)).identity("x", GROUPS)
    folder.rename(spaced / "moved")
    assert Place(path=str(spaced / "moved")).identity("x", GROUPS) == local
    assert Place(path=str(folder)).missing() == [f"{folder} is missing"]


def test_a_stated_revision_is_held_against_the_downloads_record(folder):
    record = folder / ".cache/huggingface/download/train-00000-of-00001.parquet.metadata"
    stated = Place(path=str(folder), revision=REVISION)
    assert stated.provenance("x", GROUPS)["revision_checked"] is False
    record.parent.mkdir(parents=True)
    record.write_text(f"{REVISION}\netag\n1.0\n")
    assert stated.provenance("x", GROUPS)["revision_checked"] is True
    record.write_text(f"{OTHER}\netag\n1.0\n")
    with pytest.raises(
        UserError, match=f"data.pool: .*is of revision {OTHER}, {REVISION} expected"
    ):
        stated.find("data.pool", GROUPS)


def test_names_of_files_are_refused_where_the_place_is_one_file(folder):
    one = folder / "train-00000-of-00001.parquet"
    assert Place(path=str(one)).find("data.pool", GROUPS) == [one]
    assert Place(path=str(folder), files="*.parquet").find("data.pool", GROUPS) == [one]
    with pytest.raises(UserError, match=r"data\.pool: files '\*\.parquet' has no effect"):
        Place(path=str(one), files="*.parquet").find("data.pool", GROUPS)


def snapshot(spaced, revision):
    """A file of a data set in the hub's cache, where files are links."""
    cache = spaced / "hub" / "datasets--org--set"
    blob = write_parquet(cache / "blobs" / "0123.parquet", [{"a": 1}])
    file = cache / "snapshots" / revision / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    file.symlink_to(blob)
    return file


def test_a_stated_revision_is_held_against_the_hubs_cache(spaced):
    file = snapshot(spaced, REVISION)
    for path in (file, file.parent):
        assert Place(path=str(path), revision=REVISION).find("x", GROUPS) == [file]
        with pytest.raises(UserError, match=f"is of revision {REVISION}, {OTHER} expected"):
            Place(path=str(path), revision=OTHER).find("x", GROUPS)


def test_what_is_in_the_hubs_cache_is_read_offline(spaced, monkeypatch):
    file = snapshot(spaced, REVISION)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(spaced / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert Place(hub="org/set", revision=REVISION).find("x", GROUPS) == [file]
    message = f"data.pool: org/set at {OTHER} is not in the hub's cache .*give `path: FOLDER`"
    with pytest.raises(UserError, match=message):
        Place(hub="org/set", revision=OTHER).find("data.pool", GROUPS)


def test_files_may_be_named(folder, spaced):
    extra = write_parquet(folder / "odd" / "names.parquet", [{"a": 2}])
    place = Place(path=str(folder), files="odd/*.parquet")
    assert place.find("x", GROUPS) == [extra]
    assert place.identity("x", GROUPS) != Place(path=str(folder)).identity("x", GROUPS)
    assert Place(path="x", files="{split}/*").for_split("test").files == "test/*"


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download asks for: one data set of one revision."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, *arguments):
        pass

    def _answer(self, body):
        path = urlsplit(self.path).path
        listing = f"/api/datasets/org/set/tree/{REVISION}"
        served = f"/datasets/org/set/resolve/{REVISION}/"
        if path == listing:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in self.files.items()
            ]
            content = json.dumps(entries).encode()
        elif path.startswith(served) and path.removeprefix(served) in self.files:
            content = self.files[path.removeprefix(served)]
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


FETCH = """
import sys
from valley.data.sources.place import Place
from valley.errors import UserError
try:
    found = Place(hub="org/set", revision=sys.argv[1]).find("data.pool", [["train-*.parquet"]])
    print(len(found), found[0].read_bytes() == open(sys.argv[2], "rb").read())
except UserError as error:
    print(error)
"""


def test_files_are_fetched_once_and_no_others(folder, spaced):
    file = folder / "train-00000-of-00001.parquet"
    _Hub.files = {file.name: file.read_bytes(), "set.py": b"import os"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(spaced / "hub"),
        "NO_PROXY": "127.0.0.1",
    }

    def fetch(revision, **settings):
        done = subprocess.run(
            [sys.executable, "-c", FETCH, revision, str(file)],
            env={**environment, **settings},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    try:
        assert fetch(REVISION) == "1 True"
        assert fetch(OTHER).startswith(f"data.pool: org/set at {OTHER} is not in the hub's cache")
    finally:
        server.shutdown()
        server.server_close()
    assert fetch(REVISION, HF_HUB_OFFLINE="1") == "1 True"
    assert not list((spaced / "hub").rglob("set.py"))
