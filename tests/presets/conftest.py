"""Simulated hardware and tables for the presets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from memory.devices import Device, NoDevice
from memory.probe import Hardware, Host
from memory.units import GIB


@pytest.fixture
def hardware() -> Callable[..., Hardware]:
    """Hardware with so many GiB on the host and, where given, on a card."""

    def build(host_gib: float = 16, card_gib: float | None = None) -> Hardware:
        total = int(host_gib * GIB)
        host = Host(total, total * 3 // 4, total)
        if card_gib is None:
            return Hardware(host, (), NoDevice("No NVIDIA driver answers."))
        card = int(card_gib * GIB)
        return Hardware(host, (Device("cuda", 0, "Test Card", "GPU-a", card, card),))

    return build


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """The program's own table with pieces of its text replaced."""

    def build(**changes: str) -> Path:
        import presets.tiers

        text = Path(presets.tiers.__file__).with_name("tiers.toml").read_text(encoding="utf-8")
        old, new = changes["old"], changes["new"]
        assert old in text
        path = tmp_path / "tiers.toml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return build
