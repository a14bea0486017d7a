"""All that is known of a structure, for programs and for people."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seiflow.library.entries import SHORT, Entry, Facts
from seiflow.library.files import certificate_json
from seiflow.library.tables import plane_text, text_of, words
from seiflow.records import plain

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.structures.checks import Certificate

LENGTHS_AND_ANGLES = ("a_angstrom", "b_angstrom", "c_angstrom", "alpha_degree", "beta_degree", "gamma_degree")

BESIDE = ("kind", "name", "summary", "atoms", "cell", "sites")
"""Keys of recipes that are told elsewhere in a description, or too long for one."""


def description(entry: Entry) -> dict[str, object]:
    """Return all that is known of a structure as JSON types."""
    atoms = entry.built.atoms
    return {
        "name": entry.name,
        "kind": entry.recipe.kind,
        "summary": entry.recipe.summary,
        "file": str(entry.file),
        "digest": entry.digest,
        "phases": list(entry.phases),
        "planes": [list(plane) for plane in entry.planes],
        "sigma": entry.sigma,
        "strain": entry.strain,
        "formula": atoms.get_chemical_formula(),
        "cell": cell_of(atoms),
        "periodic": atoms.pbc.tolist(),
        "boundary_heights": list(map(float, atoms.info.get("planes", []))),
        "facts": dict(entry.facts),
        "certificate": certificate_json(entry.built.certificate),
        "recipe": json.loads(entry.recipe.model_dump_json()),
    }


def cell_of(atoms: "Atoms") -> dict[str, float]:
    """Return lengths and angles of a cell."""
    values: list[float] = plain(atoms.cell.cellpar())
    return dict(zip(LENGTHS_AND_ANGLES, values, strict=True))


def description_text(entry: Entry) -> str:
    """Return all that is known of a structure as lines for people."""
    atoms = entry.built.atoms
    recipe = json.loads(entry.recipe.model_dump_json(exclude_none=True))
    lines = [
        (entry.recipe.kind.replace("_", " "), entry.name),
        ("summary", entry.recipe.summary),
        ("digest", entry.digest[:SHORT]),
        ("file", str(entry.file)),
        ("phases", text_of(entry.phases)),
        ("planes", plane_text(entry.planes)),
        ("cell", cell_text(atoms)),
        ("periodic", text_of(atoms.pbc.tolist())),
        *_fact_lines(entry.facts),
        *certificate_lines(entry.built.certificate, atoms.get_chemical_formula()),
    ]
    told = [(words(key), text_of(value)) for key, value in recipe.items() if key not in BESIDE]
    return f"{aligned(lines)}\nrecipe\n{aligned(told, indent=2)}"


def cell_text(atoms: "Atoms") -> str:
    """Return lengths (Å) and angles (degree) of a cell on one line."""
    a, b, c, alpha, beta, gamma = atoms.cell.cellpar()
    return f"{a:.4f} × {b:.4f} × {c:.4f} Å, {alpha:.2f}° {beta:.2f}° {gamma:.2f}°"


def certificate_lines(certificate: "Certificate", formula: str) -> list[tuple[str, str]]:
    """Return what the checks found as pairs (what, value); what does not apply is left out."""
    lines = [
        ("atoms", f"{certificate.atoms} ({formula})"),
        ("formula units", text_of(certificate.formula_units)),
        (
            "net charge",
            "unknown" if certificate.net_charge_e is None else f"{certificate.net_charge_e or 0:+d} e".replace("+0", "0"),
        ),
        ("shortest unlike", _distance(certificate.shortest_unlike_angstrom)),
        ("shortest like", _distance(certificate.shortest_like_angstrom)),
    ]
    for name, group in certificate.groups.items():
        bonds = f"bonds {text_of(group.shortest_bond_angstrom)} to {text_of(group.longest_bond_angstrom)} Å"
        lines.append((name, f"{group.whole} whole, {group.broken} broken, {bonds}"))
    if certificate.polarity:
        polarity = certificate.polarity
        faces = "equivalent" if polarity.faces_equivalent else "different"
        lines.append(("polarity", f"type {polarity.tasker}, dipole {text_of(polarity.dipole_e_angstrom)} e Å, faces {faces}"))
    if certificate.boundaries_equivalent is not None:
        lines.append(("boundaries", "equivalent" if certificate.boundaries_equivalent else "not equivalent"))
    return lines


def aligned(lines: "list[tuple[str, str]]", indent: int = 0) -> str:
    """Return pairs (what, value) in two columns."""
    width = max((len(what) for what, _ in lines), default=0)
    return "\n".join(f"{' ' * indent}{what.ljust(width)}  {value}" for what, value in lines)


def _fact_lines(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield what a builder tells, terminations by their faces; tables and matrices are left to JSON."""
    for key, value in facts.items():
        parts = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
        if parts and all("bottom_face" in part for part in parts):
            yield words(key), "; ".join(map(_termination, parts))
        elif isinstance(value, dict):
            yield from ((words(inner), text_of(item)) for inner, item in value.items() if not isinstance(item, list | dict))
        elif not parts and key not in ("plane", "planes"):
            yield words(key), text_of(value)


def _termination(fact: Facts) -> str:
    opening = text_of(fact.get("opening_angstrom"))
    return f"{fact['bottom_face']} to {fact.get('top_face')}, type {fact.get('tasker')}, opening {opening} Å"


def _distance(value: float | None) -> str:
    return "none below 4 Å" if value is None else f"{value:.3f} Å"
