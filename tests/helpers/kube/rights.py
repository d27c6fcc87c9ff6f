"""Who may do what: roles and their bindings, as they lie in the look-alike."""

from __future__ import annotations

from typing import Any

from tests.helpers.kube.kinds import Address
from tests.helpers.kube.objects import Objects, Refused

ADMIN_TOKEN = "admin"
"""May do everything; whoever sends no token may, too."""

_SUBJECT = "system:serviceaccount:"


def token_of(namespace: str, service_account: str) -> str:
    """By which a service account calls."""
    return f"{_SUBJECT}{namespace}:{service_account}"


def check(objects: Objects, token: str, verb: str, address: Address) -> None:
    """Refuse what no role of the caller allows.

    Raises:
        Refused: 401 for a token that nobody has, 403 without the right.
    """
    if token in ("", ADMIN_TOKEN):
        return
    if not token.startswith(_SUBJECT):
        raise Refused(401, "Unauthorized", "Unauthorized")
    namespace, _, account = token.removeprefix(_SUBJECT).partition(":")
    for rule in _rules(objects, namespace, account, address.namespace):
        if _allows(rule, verb, address):
            return
    resource = f'{address.kind.plural} in API group "{address.kind.group}"'
    message = f'{token!r} cannot {verb} {resource} in the namespace "{address.namespace}"'
    raise Refused(403, "Forbidden", message)


def _rules(objects: Objects, namespace: str, account: str, target: str) -> list[dict[str, Any]]:
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    found = []
    for binding in objects.all("RoleBinding", target):
        subjects = [{"namespace": target, **one} for one in binding.get("subjects") or []]
        if subject in subjects:
            names = [
                r for r in objects.all("Role", target) if r["metadata"]["name"] == binding["roleRef"]["name"]
            ]
            found += [rule for role in names for rule in role.get("rules") or []]
    return found


def _allows(rule: dict[str, Any], verb: str, address: Address) -> bool:
    resource = "/".join(filter(None, (address.kind.plural, address.part)))
    names = rule.get("resourceNames")
    return (
        (verb in rule["verbs"] or "*" in rule["verbs"])
        and (address.kind.group in rule["apiGroups"])
        and (resource in rule["resources"])
        and (not names or address.name in names)
    )
