"""A look-alike of a Kubernetes API server over HTTP: real Helm and the real client talk to it.

    with KubeApi() as api:
        api.url, api.kubeconfig(), api.objects.all("Deployment")

It answers discovery, create, get, list, watch, replace, merge patch, server-side apply and delete; it knows
the kinds of `kube.kinds`, validates strictly, keeps immutable fields, refuses dangling references, and heeds
Role and RoleBinding where a token of a service account is sent (`kube.rights.token_of`). There are no nodes
and no controllers: what those would say is set by `objects.set_status`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.helpers.kube.kinds import KINDS, Address, address_of
from tests.helpers.kube.objects import Event, Manifest, Objects, Refused, matches
from tests.helpers.kube.rights import ADMIN_TOKEN, check
from tests.helpers.kube.schemas import OLDEST

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_WATCH_SECONDS = 0.2


@dataclass(slots=True)
class Fault:
    """An answer instead of the right one.

    Attributes:
        verb: get, list, watch, create, update, patch or delete.
        plural: of the kind.
        refused: what is answered; None closes the connection without an answer.
        times: how often.
    """

    verb: str
    plural: str
    refused: Refused | None
    times: int = 1


class KubeApi:
    """A server on a free port of loopback, from entry to exit of the context.

    Args:
        refuses_dangling: see `Objects`.
    """

    def __init__(self, *, refuses_dangling: bool = True) -> None:
        self.objects = Objects(refuses_dangling)
        self.requests: list[tuple[str, str]] = []
        """Verb and path of all that was asked."""
        self.watches_end_after: int | None = None
        """Events after which a watch is cut off, as a proxy or a restart would."""
        self.proxied: dict[str, str] = {}
        """What pods answer through the server, by the path after `/api/v1/`: `.../proxy/metrics`."""
        self._faults: list[Fault] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.is_closing = False

    def __enter__(self) -> KubeApi:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closing = True
        with self.objects.changed:
            self.objects.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def kubeconfig(self, token: str = ADMIN_TOKEN, namespace: str = "default") -> str:
        """A kubeconfig, as YAML, for whoever has the token."""
        name = "look-alike"
        context = {"cluster": name, "user": name, "namespace": namespace}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "clusters": [{"name": name, "cluster": {"server": self.url}}],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": name, "context": context}],
            }
        )

    def fail(self, verb: str, plural: str, refused: Refused | None, times: int = 1) -> None:
        """Answer the next requests of this kind with an error, or not at all where `refused` is None."""
        self._faults.append(Fault(verb, plural, refused, times))

    def put(self, manifest: Manifest, namespace: str = "default") -> Manifest:
        """Create an object, as the operator would beforehand."""
        kind = next(k for k in KINDS if (k.api_version, k.name) == (manifest["apiVersion"], manifest["kind"]))
        space = namespace if kind.is_namespaced else ""
        return self.objects.create(Address(kind, space, manifest["metadata"]["name"]), manifest)

    def take_fault(self, verb: str, address: Address) -> Fault | None:
        """The fault that this request meets; used up by it."""
        for fault in self._faults:
            if (fault.verb, fault.plural) == (verb, address.kind.plural) and fault.times > 0:
                fault.times -= 1
                return fault
        return None


def discovery(path: str) -> Manifest | None:
    """What clients ask first: version, groups and resources; None for another path."""
    groups = sorted({kind.api_version for kind in KINDS if kind.group})
    if path == "/version":
        major, minor = OLDEST.split(".")
        return {"major": major, "minor": minor, "gitVersion": f"v{OLDEST}.0", "platform": "linux/amd64"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups]}
    for version in ["v1", *groups]:
        if path in (f"/apis/{version}", f"/api/{version}"):
            return _resources(version)
    return None


def _group(api_version: str) -> Manifest:
    name, _, version = api_version.partition("/")
    entry = {"groupVersion": api_version, "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resources(api_version: str) -> Manifest:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    found = [
        {
            "name": kind.plural,
            "singularName": "",
            "namespaced": kind.is_namespaced,
            "kind": kind.name,
            "verbs": verbs,
        }
        for kind in KINDS
        if kind.api_version == api_version
    ]
    return {"kind": "APIResourceList", "groupVersion": api_version, "resources": found}


def _handler(api: KubeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(_Answers):
        kube = api

    return Handler


class _Answers(BaseHTTPRequestHandler):
    """One connection."""

    kube: KubeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _answer(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.kube.requests.append((self.command, split.path))
        try:
            self._routed(split.path, query, body)
        except Refused as error:
            self._refuse(error)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _routed(self, path: str, query: dict[str, str], body: bytes) -> None:
        known = discovery(path) if self.command == "GET" else None
        if known is not None:
            return self._send(200, known)
        text = self.kube.proxied.get(unquote(path).removeprefix("/api/v1/"))
        if text is not None:
            return self._send(200, text, "text/plain")
        address = address_of(path)
        if address is None:
            raise Refused(404, "NotFound", f"the server could not find {path}")
        verb = self._verb(address, query)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        check(self.kube.objects, token, verb, address)
        fault = self.kube.take_fault(verb, address)
        if fault is not None and fault.refused is None:
            self.close_connection = True
            return self.connection.close()
        if fault is not None:
            raise fault.refused
        self._act(verb, address, query, body)

    def _verb(self, address: Address, query: dict[str, str]) -> str:
        if self.command == "GET" and not address.name:
            return "watch" if query.get("watch") in ("1", "true") else "list"
        return _VERBS[self.command]

    def _act(self, verb: str, address: Address, query: dict[str, str], body: bytes) -> None:
        objects = self.kube.objects
        selectors = query.get("labelSelector", ""), query.get("fieldSelector", "")
        if verb == "watch":
            return self._watch(address, int(query.get("resourceVersion") or 0), selectors)
        if verb == "list":
            return self._send(200, objects.list_of(address, *selectors))
        if verb == "get":
            return self._send(200, objects.get(address))
        if verb == "delete":
            return self._send(200, objects.delete(address))
        manifest = _read(body)
        if verb == "create":
            named = Address(address.kind, address.namespace, manifest["metadata"]["name"])
            return self._send(201, objects.create(named, manifest))
        if verb == "update":
            return self._send(200, self._written(address, manifest, objects.replace))
        self._send(200, self._patched(address, query, manifest))

    def _patched(self, address: Address, query: dict[str, str], manifest: Manifest) -> Manifest:
        form = (self.headers.get("Content-Type") or "").split(";")[0]
        objects = self.kube.objects
        if form == "application/apply-patch+yaml":
            return objects.apply(address, manifest, query.get("fieldManager", ""))
        if form == "application/merge-patch+json":
            return self._written(address, manifest, objects.merge)
        raise Refused(415, "UnsupportedMediaType", f"a patch of {form} is not known here")

    def _written(
        self, address: Address, manifest: Manifest, write: Callable[[Address, Manifest], Manifest]
    ) -> Manifest:
        if address.part == "status":
            return self.kube.objects.set_status(address, manifest["status"])
        return write(address, manifest)

    def _watch(self, address: Address, since: int, selectors: tuple[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for told, event in enumerate(self._events(address, since, selectors), start=1):
            line = json.dumps({"type": event.kind, "object": event.manifest}).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
            if told == self.kube.watches_end_after:
                break
        with suppress(OSError):
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _events(self, address: Address, since: int, selectors: tuple[str, str]) -> Iterator[Event]:
        """Events after version `since`, or of all objects that are there where it is 0, as they come."""
        objects, seen = self.kube.objects, 0
        if since == 0:
            with objects.changed:
                seen = len(objects.events)
                present = objects.list_of(address, *selectors)["items"]
            yield from (Event(0, "ADDED", ("", "", "", ""), one) for one in present)
        while not self.kube.is_closing:
            with objects.changed:
                if len(objects.events) == seen:
                    objects.changed.wait(_WATCH_SECONDS)
                fresh, seen = objects.events[seen:], len(objects.events)
            for event in fresh:
                if (
                    event.version > since
                    and _concerns(event, address)
                    and matches(event.manifest, *selectors)
                ):
                    yield event

    def _refuse(self, error: Refused) -> None:
        status = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "metadata": {}}
        self._send(
            error.code, {**status, "message": error.message, "reason": error.reason, "code": error.code}
        )

    def _send(self, code: int, content: Any, media_type: str = "application/json") -> None:
        body = (json.dumps(content) if media_type == "application/json" else content).encode()
        self.send_response(code)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _read(body: bytes) -> Manifest:
    """JSON or YAML; the first is what clients send, and read far faster."""
    try:
        read: Manifest = json.loads(body or b"{}")
    except json.JSONDecodeError:
        read = yaml.safe_load(body)
    return read


def _concerns(event: Event, address: Address) -> bool:
    api_version, plural, namespace, _ = event.key
    kind = address.kind
    return (api_version, plural) == (kind.api_version, kind.plural) and address.namespace in ("", namespace)
