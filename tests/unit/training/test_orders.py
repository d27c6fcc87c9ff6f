import json
from collections import Counter
from pathlib import Path

import numpy as np

from eureka.training.orders import generate_order


def _orders(count: int) -> list[tuple[str, dict[str, str]]]:
    rng = np.random.default_rng(7)
    return [generate_order(rng) for _ in range(count)]


def test_order_names_every_filling_as_whole_words() -> None:
    for text, slots in _orders(1000):
        for filling in slots.values():
            assert f" {filling} " in f" {text} "


def test_orders_are_varied_and_plain() -> None:
    texts = [text for text, _ in _orders(1000)]
    assert len(set(texts)) > 950
    assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyz '") and text == text.strip() for text in texts)
    assert not any("  " in text for text in texts)


def test_order_from_the_same_seed_is_the_same() -> None:
    assert _orders(20) == _orders(20)


def test_orders_cover_every_filling_of_the_pack(data_folder: Path) -> None:
    drawn = {pair for _, slots in _orders(6000) for pair in slots.items()}
    lines = (data_folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    clips = [json.loads(line) for line in lines]
    train = [c["slots"] for c in clips if c["subset"] == "coffee_orders" and c["split"] == "train"]
    assert {pair for slots in train for pair in slots.items()} <= drawn


def test_orders_name_slots_about_as_often_as_speakers_do() -> None:
    counts = Counter(name for _, slots in _orders(1000) for name in slots)
    assert counts["coffeeDrink"] == 1000
    for name in ("size", "roast", "numberOfShots", "milkAmount", "sugarAmount"):
        assert 0.3 < counts[name] / 1000 < 0.6
