"""Coffee orders with their slots, said in many ways; the slots are those of the data pack's orders."""

from __future__ import annotations

import numpy as np

DRINKS = (
    "americano", "cappuccino", "coffee", "drip coffee", "espresso", "house coffee", "iced coffee",
    "iced mocha", "latte", "mocha",
)  # fmt: skip
SIZES = ("small", "medium", "large", "eight ounce", "twelve ounce", "sixteen ounce", "twenty ounce")
ROASTS = ("light roast", "medium roast", "dark roast")
SHOTS = ("single shot", "double shot", "triple shot")
_MILKS = ("milk", "cream", "almond milk", "soy milk", "skim milk", "whole milk")
_SUGARS = ("sugar", "brown sugar", "sweetener")
_AMOUNTS = ("some", "a lot of", "lots of", "a bit of", "a little bit of")

_OPENINGS = (
    "can i get", "can i get", "can i have", "could i have", "could i get", "can you get me",
    "can you make me",
    "could you make me", "could you please make me", "can you please get me", "may i have", "may i get",
    "i'd like", "i would like", "i would like to have", "i'd like to order", "i want", "i'd love",
    "i'll have",
    "i'll take", "i will have", "let me get", "let me have", "give me", "get me", "make me", "please make me",
    "please get me", "order me", "brew me", "i need", "can i order", "i want to order", "i'm going to have",
    "would you make me", "hi can i get", "hello i'd like", "good morning could i have", "hey get me",
    "", "", "",
)  # fmt: skip
_CLOSINGS = ("", "", "", "", " please", " please", " thanks", " thank you")

_AFTERTHOUGHTS = (
    "and",
    "and add",
    "make it with",
    "and i want it with",
    "and put",
    "and can i get",
    "and also",
)

_INCLUDED = {"size": 0.5, "roast": 0.5, "numberOfShots": 0.5, "milkAmount": 0.45, "sugarAmount": 0.45}
"""How often an order names a slot; about the rates of the pack's training part."""


def generate_order(rng: np.random.Generator) -> tuple[str, dict[str, str]]:
    """An order and its slots.

    Returns:
        lower-case text and {slot name of the manifest: the words that fill it}; every filling stands in the
        text as it is.
    """
    slots = {"coffeeDrink": _pick(rng, DRINKS)}
    for name, share in _INCLUDED.items():
        if rng.random() < share:
            slots[name] = _filling(rng, name)
    if len(slots) > 4 and rng.random() < 0.7:  # few people name everything
        del slots[_pick(rng, tuple(name for name in slots if name != "coffeeDrink"))]
    words = f"{_pick(rng, _OPENINGS)} {_order_body(rng, slots)}{_pick(rng, _CLOSINGS)}"
    return words.strip(), slots


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _filling(rng: np.random.Generator, name: str) -> str:
    if name == "size":
        return _pick(rng, SIZES)
    if name == "roast":
        return _pick(rng, ROASTS)
    if name == "numberOfShots":
        return _pick(rng, SHOTS)
    thing = _pick(rng, _MILKS if name == "milkAmount" else _SUGARS)
    return f"{_pick(rng, _AMOUNTS)} {thing}" if rng.random() < 0.45 else thing


def _order_body(rng: np.random.Generator, slots: dict[str, str]) -> str:
    """The drink with what stands before it and what follows."""
    before: list[str] = []
    after: list[str] = []
    for name in ("size", "numberOfShots", "roast"):
        if name in slots:
            in_front = 0.85 if name == "size" else 0.55
            (before if rng.random() < in_front else after).append(slots[name])
    if rng.random() < 0.4:
        rng.shuffle(before)
    head = " ".join([*before, slots["coffeeDrink"]])
    additions = [slots[name] for name in ("milkAmount", "sugarAmount") if name in slots]
    rng.shuffle(additions)
    after = [*additions, *after] if rng.random() < 0.7 else [*after, *additions]
    return _article(rng, head) + head + _tail(rng, after)


def _article(rng: np.random.Generator, head: str) -> str:
    indefinite = "an " if head[0] in "aei" else "a "
    if rng.random() < 0.06:
        return f"{_pick(rng, ('a cup of', 'one cup of', 'another'))} "
    return _pick(rng, (indefinite, indefinite, indefinite, "one ", "the ", ""))


def _tail(rng: np.random.Generator, parts: list[str]) -> str:
    """The parts after the drink: with ... and ..., or just one after the other."""
    if not parts:
        return ""
    style = rng.random()
    said = [_with_article(rng, part) for part in parts]
    if style < 0.55:
        return " with " + " and ".join(said)
    if style < 0.75:
        return " with " + " ".join([*said[:-1], "and", said[-1]] if len(said) > 1 else said)
    if style < 0.85:
        return "".join(f" with {part}" for part in said)
    if style < 0.92:
        return f" {_pick(rng, _AFTERTHOUGHTS)} " + " and ".join(said)
    return " " + " ".join(parts)


def _with_article(rng: np.random.Generator, part: str) -> str:
    if part.endswith("shot") and rng.random() < 0.5:
        return f"a {part}"
    return part
