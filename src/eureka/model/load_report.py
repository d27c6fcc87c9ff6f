"""What was found in a checkpoint, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Facts about a checkpoint that fits.

    Attributes:
        name: as config.json calls the model.
        folder: where it lies.
        windowing: `reference` or `per_item`.
        num_tensors: stored tensors, skipped ones included.
        num_bytes: size of their data.
        dtypes: storage type -> number of tensors.
        parameters: part -> number of elements, a tied head counted once.
        head: `tied` or `separate`.
        adapter: fields of the `AdapterSpec`.
        adapter_origins: field -> `override`, `shape`, `config` or `default`.
        adapter_roles: stem of stored names -> its role.
        unsettled: fields that rest on a default and change the result.
        num_ambiguous_roles: groups of tensors whose roles were told by name and order, not by shape.
        skipped: tensors known to be unused.
        num_ctc_classes: rows of the auxiliary head, None without one.
    """

    name: str
    folder: str
    windowing: str
    num_tensors: int
    num_bytes: int
    dtypes: dict[str, int]
    parameters: dict[str, int]
    head: str
    adapter: dict[str, Any]
    adapter_origins: dict[str, str]
    adapter_roles: dict[str, str]
    unsettled: tuple[str, ...]
    num_ambiguous_roles: int
    skipped: tuple[str, ...]
    num_ctc_classes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain object for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A page for the terminal."""
        total = sum(self.parameters.values())
        dtypes = ", ".join(f"{count} {dtype}" for dtype, count in self.dtypes.items())
        lines = [
            f"{self.name}  ({self.folder})",
            f"  {total:,} parameters; {self.num_tensors} tensors of {self.num_bytes / 1e6:,.1f} MB: {dtypes}",
            *(f"    {part:<18} {count:>15,}" for part, count in self.parameters.items()),
            f"  output head: {self.head}; windowing: {self.windowing}",
        ]
        if self.num_ctc_classes is not None:
            lines.append(f"  CTC head over {self.num_ctc_classes} classes")
        if self.skipped:
            lines.append(f"  skipped, known to be unused: {', '.join(self.skipped)}")
        lines += ["  adapter:", *(self._field_line(name) for name in self.adapter)]
        lines += ["  adapter tensors:", *(f"    {s:<40} {r}" for s, r in self.adapter_roles.items())]
        return "\n".join(lines + self._advice())

    def _field_line(self, name: str) -> str:
        return f"    {name:<24} {self.adapter[name]!s:<22} from {self.adapter_origins[name]}"

    def _advice(self) -> list[str]:
        lines = []
        if self.unsettled:
            lines.append(f"  not given by shapes or config.json, default in use: {', '.join(self.unsettled)}")
        if self.num_ambiguous_roles:
            lines.append(f"  roles told by name and order in {self.num_ambiguous_roles} group(s) of tensors")
        if lines:
            lines.append("  `eureka model check DIR --pair AUDIO TEXT` tries the alternatives")
        return lines
