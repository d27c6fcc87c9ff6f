"""The objects of the look-alike: kept, checked at each write, told to watchers, removed with their owners."""

from __future__ import annotations

import base64
import copy
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.helpers.kube.kinds import Address, kind_of
from tests.helpers.kube.rules import (
    change_problems,
    container_problems,
    name_problems,
    references,
    selector_problems,
)
from tests.helpers.kube.schemas import problems

Manifest = dict[str, Any]
Key = tuple[str, str, str, str]
"""apiVersion, plural, namespace, name."""

_SERVERS_OWN = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "deletionTimestamp",
)


class Refused(Exception):
    """An answer that is an error, as Kubernetes' Status object tells it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


@dataclass(frozen=True, slots=True)
class Event:
    """A change that watchers hear of."""

    version: int
    kind: str
    key: Key
    manifest: Manifest


@dataclass(slots=True)
class Objects:
    """All objects of one cluster.

    Attributes:
        refuses_dangling: a workload that names a Secret, ConfigMap, ServiceAccount or claim that is not there
            is refused at once, as no cluster does; it would start its pods never. False where somebody else,
            such as cert-manager, makes them later: `dangling` lists what is still missing.
    """

    refuses_dangling: bool = True
    _found: dict[Key, Manifest] = field(default_factory=dict)
    _applied: dict[tuple[Key, str], Manifest] = field(default_factory=dict)
    _version: int = 0
    events: list[Event] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))

    def __post_init__(self) -> None:
        for name in ("default", "kube-system"):
            self.create(_address("v1", "Namespace", "", name), {"metadata": {"name": name}})
            self.create(_address("v1", "ServiceAccount", name, "default"), {"metadata": {"name": "default"}})

    # -- reading -----------------------------------------------------------------------------------

    def get(self, address: Address) -> Manifest:
        """One object.

        Raises:
            Refused: 404.
        """
        with self.changed:
            found = self._found.get(_key(address))
        if found is None:
            message = f'{address.kind.plural}.{address.kind.group} "{address.name}" not found'
            raise Refused(404, "NotFound", message)
        return copy.deepcopy(found)

    def all(self, kind: str | None = None, namespace: str = "") -> list[Manifest]:
        """All objects, of a kind and of a namespace where these are given, in order of their making."""
        with self.changed:
            return [
                copy.deepcopy(found)
                for (_, _, space, _), found in self._found.items()
                if kind in (None, found["kind"]) and namespace in ("", space)
            ]

    def list_of(self, address: Address, selector: str = "", field_selector: str = "") -> Manifest:
        """The list of a collection, by `a=b,c=d` and `metadata.name=x` where given."""
        found = [
            one
            for one in self.all(address.kind.name, address.namespace)
            if one["apiVersion"] == address.kind.api_version and matches(one, selector, field_selector)
        ]
        kind = f"{address.kind.name}List"
        metadata = {"resourceVersion": str(self._version)}
        return {"apiVersion": address.kind.api_version, "kind": kind, "metadata": metadata, "items": found}

    # -- writing -----------------------------------------------------------------------------------

    def create(self, address: Address, manifest: Manifest) -> Manifest:
        """Keep a new object.

        Raises:
            Refused: 409 where it is there, 404 without its namespace, 422 where it is wrong.
        """
        with self.changed:
            key = _key(address)
            if key in self._found:
                message = f'{address.kind.plural} "{address.name}" already exists'
                raise Refused(409, "AlreadyExists", message)
            if address.namespace and ("v1", "namespaces", "", address.namespace) not in self._found:
                raise Refused(404, "NotFound", f'namespaces "{address.namespace}" not found')
            made = self._checked(address, manifest)
            made["metadata"] |= {
                "uid": str(uuid.uuid4()),
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            return self._keep("ADDED", key, made)

    def replace(self, address: Address, manifest: Manifest) -> Manifest:
        """Put another version over an object.

        Raises:
            Refused: 404, 409 where `resourceVersion` is not the newest, 422 where it is wrong or immutable.
        """
        with self.changed:
            before = self.get(address)
            given = (manifest.get("metadata") or {}).get("resourceVersion")
            if given and given != before["metadata"]["resourceVersion"]:
                raise Refused(409, "Conflict", f'"{address.name}": the object has been modified')
            after = self._checked(address, manifest)
            _refuse(list(change_problems(before, after)), address)
            kept = {name: before["metadata"][name] for name in _SERVERS_OWN if name in before["metadata"]}
            after["metadata"] = {**after["metadata"], **kept}
            if not address.part:
                after = {**after, **({"status": before["status"]} if "status" in before else {})}
            return self._keep("MODIFIED", _key(address), after)

    def merge(self, address: Address, patch: Manifest) -> Manifest:
        """A merge patch (RFC 7386)."""
        with self.changed:
            return self.replace(address, merged(self.get(address), patch))

    def apply(self, address: Address, manifest: Manifest, manager: str) -> Manifest:
        """Server-side apply: what `manager` set before and sets no more goes, what others set stays.

        Lists are replaced whole, where a cluster merges some by a key.
        """
        with self.changed:
            key = _key(address)
            last = self._applied.get((key, manager), {})
            if key not in self._found:
                made = self.create(address, manifest)
            else:
                base = without(self.get(address), last, manifest)
                made = self.replace(address, merged(base, manifest))
            self._applied[key, manager] = copy.deepcopy(manifest)
            return made

    def set_status(self, address: Address, status: Manifest) -> Manifest:
        """What a controller says of an object."""
        with self.changed:
            found = self.get(address)
            found["status"] = merged(found.get("status") or {}, status)
            return self._keep("MODIFIED", _key(address), found)

    def delete(self, address: Address) -> Manifest:
        """Remove an object, and what it owns.

        Raises:
            Refused: 404.
        """
        with self.changed:
            gone = self.get(address)
            key = _key(address)
            del self._found[key]
            for known in [known for known in self._applied if known[0] == key]:
                del self._applied[known]
            self._tell("DELETED", key, gone)
            for owned in list(self._owned_by(gone["metadata"]["uid"])):
                self.delete(owned)
            return gone

    def dangling(self) -> list[str]:
        """What objects name and is not there."""
        return [
            f"{one['kind']}/{one['metadata']['name']}: {lost}"
            for one in self.all()
            for lost in self.missing(one)
        ]

    # -- inside ------------------------------------------------------------------------------------

    def missing(self, manifest: Manifest) -> Iterator[str]:
        """What `manifest` names and is not there; a Certificate stands for the Secret that it makes."""
        namespace = manifest["metadata"].get("namespace", "")
        for kind, name, key in references(manifest):
            found = next((o for o in self.all(kind, namespace) if o["metadata"]["name"] == name), None)
            made = {o["spec"]["secretName"] for o in self.all("Certificate", namespace)}
            if found is None and not (kind == "Secret" and name in made):
                yield f"{kind} {name!r} is not there"
            elif found is not None and key is not None and key not in _keys(found):
                yield f"{kind} {name!r} has no key {key!r}"

    def _checked(self, address: Address, manifest: Manifest) -> Manifest:
        kind = address.kind
        made = copy.deepcopy(manifest)
        made = {"apiVersion": kind.api_version, "kind": kind.name, **made}
        if (made["apiVersion"], made["kind"]) != (kind.api_version, kind.name):
            raise Refused(400, "BadRequest", f"{made['apiVersion']}/{made['kind']} was sent to {kind.plural}")
        metadata = made["metadata"]
        if kind.is_namespaced:
            metadata.setdefault("namespace", address.namespace)
        if (metadata.get("namespace") or "") != address.namespace:
            raise Refused(
                400, "BadRequest", f"namespace {metadata.get('namespace')!r} is not that of the request"
            )
        own = {name: metadata.pop(name) for name in _SERVERS_OWN if name in metadata}
        found = [*name_problems(made), *problems(made)]
        found += [] if found else [*selector_problems(made), *container_problems(made)]
        _refuse(found, address)
        if self.refuses_dangling and kind.name in ("Deployment", "StatefulSet", "Job", "Pod", "CronJob"):
            _refuse(list(self.missing(made)), address)
        metadata.update(own)
        return with_data(made)

    def _keep(self, what: str, key: Key, manifest: Manifest) -> Manifest:
        before = self._found.get(key)
        if before is not None and _content(before) == _content(manifest):
            return copy.deepcopy(before)
        if before is None or before.get("spec") != manifest.get("spec"):
            manifest["metadata"]["generation"] = manifest["metadata"].get("generation", 0) + 1
        self._found[key] = manifest
        self._tell(what, key, manifest)
        return copy.deepcopy(manifest)

    def _tell(self, what: str, key: Key, manifest: Manifest) -> None:
        self._version += 1
        manifest["metadata"]["resourceVersion"] = str(self._version)
        self.events.append(Event(self._version, what, key, copy.deepcopy(manifest)))
        self.changed.notify_all()

    def _owned_by(self, uid: str) -> Iterator[Address]:
        for one in self.all():
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences") or []):
                meta = one["metadata"]
                yield _address(one["apiVersion"], one["kind"], meta.get("namespace", ""), meta["name"])


def matches(manifest: Manifest, selector: str = "", field_selector: str = "") -> bool:
    """Whether labels and fields are as the selectors say (`a=b`, `a==b`, `a!=b`, `a`, joined by commas)."""
    labels = manifest["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, sign, value = term.replace("==", "=").partition("=")
        if name.endswith("!"):
            is_met = labels.get(name[:-1]) != value
        else:
            is_met = labels.get(name) == value if sign else name in labels
        if not is_met:
            return False
    fields = {f"metadata.{name}": manifest["metadata"].get(name) for name in ("name", "namespace")}
    return all(
        fields.get(term.split("=")[0]) == term.split("=")[-1]
        for term in filter(None, field_selector.split(","))
    )


def with_data(manifest: Manifest) -> Manifest:
    """A Secret whose `stringData` has gone into `data`, as a server keeps it."""
    given = manifest.pop("stringData", None)
    if manifest["kind"] == "Secret" and given:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in given.items()}
        manifest["data"] = {**(manifest.get("data") or {}), **encoded}
    return manifest


def merged(before: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    made = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made


def without(found: Manifest, last: Manifest, new: Manifest) -> Manifest:
    """`found` less the fields that stand in `last` and no more in `new`."""
    made = dict(found)
    for name, value in last.items():
        if name not in new:
            made.pop(name, None)
        elif isinstance(value, dict) and isinstance(new[name], dict) and isinstance(made.get(name), dict):
            made[name] = without(made[name], value, new[name])
    return made


def _refuse(found: list[str], address: Address) -> None:
    if found:
        message = f'{address.kind.name} "{address.name}" is invalid: {"; ".join(found)}'
        raise Refused(422, "Invalid", message)


def _content(manifest: Manifest) -> Manifest:
    own = ("resourceVersion", "generation", "managedFields")
    return {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k not in own}}


def _keys(manifest: Manifest) -> set[str]:
    return {key for name in ("data", "stringData", "binaryData") for key in manifest.get(name) or {}}


def _key(address: Address) -> Key:
    return address.kind.api_version, address.kind.plural, address.namespace, address.name


def _address(api_version: str, kind: str, namespace: str, name: str) -> Address:
    found = kind_of(api_version, kind)
    assert found is not None
    return Address(found, namespace, name)
