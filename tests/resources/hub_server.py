"""A small Hub on 127.0.0.1: as much of the HTTP interface as the official client needs to list and fetch models.

Repositories are dictionaries of file contents per commit. Every request is recorded, and faults can be asked for: a
body that breaks off, a status instead of a file or a page, a wait, a pause in the middle, a gate, a size that is a
lie, bytes that are not what was promised, a model under another name. What is listed is in `hub_listing`. Large files
can be said to lie in Xet storage as well, of which there is nothing but an address that refuses.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.resources.hub_listing import Card, facts, page

GOOD_TOKEN = "hf_accepted"
EXPIRED_TOKEN = "hf_expired"


@dataclass
class Repository:
    """One model repository. `files` maps commits to contents; `refs` maps branches to commits."""

    files: dict[str, dict[str, bytes]]
    refs: dict[str, str]
    gated: bool = False
    claimed_sizes: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    xet: bool = False
    card: Card = field(default_factory=Card)


@dataclass
class Limit:
    """An answer in place of the right one, for every address that holds a text, `times` times.

    It comes after `silence` seconds; with the status 0 none comes at all.
    """

    status: int = 429
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 10**9
    silence: float = 0.0


@dataclass
class Fault:
    """What goes wrong with one file, `times` times.

    Its body stops after some bytes, perhaps after a pause; or a status comes instead; or, with `drop`, the connection
    closes without an answer, already when only the headers were asked for.
    """

    after: int = 0
    times: int = 1
    status: int | None = None
    drop: bool = False
    pause: threading.Event | None = None
    reached: threading.Event = field(default_factory=threading.Event)


def commit_of(files: dict[str, bytes]) -> str:
    """Return a name of 40 hexadecimal digits that depends on the content."""
    digest = hashlib.sha1()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha1(files[name]).digest())
    return digest.hexdigest()


class HubServer:
    """The server; use as a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults: dict[str, Fault] = {}
        self.limits: dict[str, Limit] = {}
        self.renamed: dict[str, str] = {}  # old name, new name
        self.page_size = 1000
        self.repeats = 0  # entries of each page that were on the page before
        self.tokens: list[str | None] = []  # Authorization of every request
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, Range
        self.listings: list[str] = []  # queries of listings
        self.down = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add(self, repo_id: str, files: dict[str, bytes], branch: str = "main", gated: bool = False) -> str:
        """Put a new commit on a branch and return its name."""
        commit = commit_of(files)
        repository = self.repositories.setdefault(repo_id, Repository({}, {}, gated))
        repository.files[commit] = dict(files)
        repository.refs[branch] = commit
        return commit

    def clear(self) -> None:
        """Forget every repository, request and fault."""
        kept = (self.repositories, self.requests, self.faults, self.limits, self.renamed, self.tokens, self.listings)
        for known in kept:
            known.clear()  # type: ignore[attr-defined]
        self.page_size, self.repeats, self.down = 1000, 0, False

    def descend(self, repo_id: str, base: str, files: dict[str, bytes], relation: str = "finetune", **card: Any) -> str:
        """Put a commit of a model that descends from another; `card` are fields of `Card`. Returns the commit."""
        commit = self.add(repo_id, files)
        known = self.repositories[repo_id].card
        tags = (f"base_model:{base}", f"base_model:{relation}:{base}")
        changed = {**vars(known), "tags": (*known.tags, *tags), **card}
        if "tags" in card:
            changed["tags"] = (*card["tags"], *tags)
        self.repositories[repo_id].card = Card(**changed)
        return commit

    def fetched(self, method: str = "GET") -> list[str]:
        """Return the names of the files that were asked for."""
        return [
            path.split("/resolve/")[1].split("/", 1)[1]
            for m, path, _ in self.requests
            if m == method and "/resolve/" in path
        ]

    @contextlib.contextmanager
    def fault(self, name: str, **how: object) -> Iterator[Fault]:
        """Make the bodies of a file go wrong for a while."""
        self.faults[name] = fault = Fault(**how)  # type: ignore[arg-type]
        try:
            yield fault
        finally:
            if fault.pause:
                fault.pause.set()
            del self.faults[name]

    # ------------------------------------------------------------------------------------------------------ answers

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.requests.append((request.command, path, request.headers.get("Range")))
        self.tokens.append(request.headers.get("Authorization"))
        if self.down:
            return self.refuse(request, 503, None)
        if path == "/api/models":
            self.listings.append(urlsplit(request.path).query)
        for text, limit in self.limits.items():
            if text in unquote(request.path) and limit.times > 0:
                limit.times -= 1
                time.sleep(limit.silence)
                if not limit.status:
                    request.close_connection = True
                    return None
                return self.refuse(request, limit.status, None, headers=limit.headers)
        for old, new in self.renamed.items():
            if path.startswith((f"/api/models/{old}", f"/{old}/resolve/")):
                return self.refuse(request, 307, None, headers={"Location": request.path.replace(old, new, 1)})
        if path == "/api/models":
            return self.answer_list(request)
        if request.headers.get("Authorization") == f"Bearer {EXPIRED_TOKEN}":
            return self.refuse(request, 401, None, message="Invalid credentials in Authorization header")
        if "/xet-read-token/" in path:
            expires = str(int(time.time()) + 3600)
            return self.send_json(
                request,
                {},
                {
                    "X-Xet-Cas-Url": f"{self.endpoint}/xet-storage",
                    "X-Xet-Access-Token": "xet",
                    "X-Xet-Token-Expiration": expires,
                },
            )
        if path.startswith("/xet-storage/"):
            return self.refuse(request, 403, None)
        if path.startswith("/api/models/"):
            return self.answer_api(request, path.removeprefix("/api/models/"))
        repo_id, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        return self.answer_file(request, repo_id, revision, name)

    def answer_api(self, request: BaseHTTPRequestHandler, path: str) -> None:
        for word in ("/revision/", "/tree/"):
            repo_id, found, revision = path.partition(word)
            if found:
                break
        repository = self.repositories.get(repo_id)
        if repository is None:
            return self.refuse(request, 404, "RepoNotFound")
        commit = repository.refs.get(revision or "main", revision)
        if commit not in repository.files:
            return self.refuse(request, 404, "RevisionNotFound")
        entries = []
        for name, content in repository.files[commit].items():
            size = repository.claimed_sizes.get(name, len(content))
            entry = {"name": name, "size": size, "oid": _git_blob(content)}
            if _is_large(name):
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 134}
                if repository.xet:
                    entry["xetHash"] = entry["lfs"]["oid"]  # type: ignore[index]
            entries.append(entry)
        if "/tree/" in path:
            return self.send_json(request, [{"type": "file", "path": e.pop("name"), **e} for e in entries])
        siblings = []
        for e in entries:
            sibling = {"rfilename": e["name"], "size": e["size"], "blobId": e["oid"]}
            if lfs := e.get("lfs"):
                sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": 134}  # type: ignore[index]
            siblings.append(sibling)
        body = {**facts(repo_id, repository), "sha": commit, "siblings": siblings}
        return self.send_json(request, body)

    def answer_list(self, request: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(request.path).query)
        found, following = page(self.repositories, query, self.page_size, self.repeats)
        link = f'<{self.endpoint}/api/models?{following}>; rel="next"' if following else ""
        return self.send_json(request, found, {"Link": link} if link else {})

    def answer_file(self, request: BaseHTTPRequestHandler, repo_id: str, revision: str, name: str) -> None:
        repository = self.repositories.get(repo_id)
        if repository is None:
            return self.refuse(request, 404, "RepoNotFound")
        if repository.gated and request.headers.get("Authorization") != f"Bearer {GOOD_TOKEN}":
            return self.refuse(request, 403, "GatedRepo")
        commit = repository.refs.get(revision, revision)
        if commit not in repository.files:
            return self.refuse(request, 404, "RevisionNotFound")
        if name not in repository.files[commit]:
            return self.refuse(request, 404, "EntryNotFound", commit)
        content = repository.files[commit][name]
        etag = hashlib.sha256(content).hexdigest() if _is_large(name) else _git_blob(content)
        if name in repository.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(range_.removeprefix("bytes=").rstrip("-")) if (range_ := request.headers.get("Range")) else 0
        fault = self.faults.get(name)
        if fault and fault.times > 0 and (fault.drop or request.command == "GET"):
            fault.times -= 1
        else:
            fault = None
        if fault and fault.drop:
            request.close_connection = True
            return None
        if fault and fault.status:
            return self.refuse(request, fault.status, None)
        request.send_response(206 if range_ else 200)
        request.send_header("ETag", f'"{etag}"')
        request.send_header("X-Repo-Commit", commit)
        request.send_header("Accept-Ranges", "bytes")
        if repository.xet and _is_large(name):
            address = f"{self.endpoint}/api/models/{repo_id}/xet-read-token/{commit}"
            request.send_header("X-Xet-Hash", etag)
            request.send_header("Link", f'<{address}>; rel="xet-auth"')
        request.send_header("Content-Length", str(len(content) - start))
        if range_:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        if request.command == "HEAD":
            return None
        if fault:
            request.wfile.write(content[start : start + fault.after])
            request.wfile.flush()
            fault.reached.set()
            if fault.pause:
                fault.pause.wait(30)
            request.close_connection = True
            return None
        request.wfile.write(content[start:])
        return None

    def send_json(
        self, request: BaseHTTPRequestHandler, value: object, headers: Mapping[str, str] | None = None
    ) -> None:
        body = json.dumps(value).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        for name, text in (headers or {}).items():
            request.send_header(name, text)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def refuse(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        code: str | None,
        commit: str = "",
        message: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        for name, text in (headers or {}).items():
            request.send_header(name, text)
        if code:
            request.send_header("X-Error-Code", code)
        if message or code:
            request.send_header("X-Error-Message", message or code or "")
        if commit:
            request.send_header("X-Repo-Commit", commit)
        request.send_header("Content-Length", "0")
        request.end_headers()


def _is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


def _git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
