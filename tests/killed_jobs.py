"""The jobs that tests kill: commands on small structures, each with the files that it reads and writes."""

import json
from dataclasses import dataclass, field

ALLOY = """\
name: CuAu
summary: ordered, tetragonal, and far from its equilibrium
formula: CuAu
space_group: 123
cell: {a: 2.9, b: 2.9, c: 3.5}
sites:
  - {species: Cu, position: [0, 0, 0]}
  - {species: Au, position: [0.5, 0.5, 0.5]}
charges: {Cu: 0, Au: 0}
mobile: Cu
source: {citation: a test}
"""
PAIR = """\
name: pair
summary: lithium fluoride with the fewest atoms that a cube can have
formula: LiF
space_group: 221
cell: {a: 2.6, b: 2.6, c: 2.6}
sites:
  - {species: Li, position: [0, 0, 0]}
  - {species: F, position: [0.5, 0.5, 0.5]}
charges: {Li: 1, F: -1}
source: {citation: a test}
"""
TWIN = """\
kind: grain_boundary
name: twin
summary: a boundary in copper
phase: Cu
plane: [1, 1, 1]
type: mirror
thickness_angstrom: 5
"""
SHAKY = {"migration": {"image_distance": 5, "images": 3, "max_steps": 3, "fmax": 0.05, "curvature_tolerance": 5}}
"""Settings with which the search for a saddle fails, and a band is run instead."""

STILL = {"planar": {"shakes": 0}}
"""The grains stay as the recipe has them: a mirror boundary, with the two kinds of sites that are named here."""

PLANE = {"segregation": {"image_distance": 5}}
HOPS = {"image_distance": 5, "most_evaluations": 60, "hop_evaluations": 30}
FAST = {"image_distance": 5, "sites": 1, "most_hops": 1, "fmax": 0.05}
DEFECTS = {"image_distance": 6.6, "pairs": 2, "interstitials": 1, "fmax": 0.1}


@dataclass(frozen=True)
class Job:
    """A command on a structure; its files are named by option, those beside its record from there, others from results."""

    command: str
    structure: str
    output: str
    written: dict[str, str] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    kills: int = 2
    calculator: str = "emt"

    @property
    def place(self) -> str:
        """The folder of its results."""
        return f"results/{self.structure}/{self.calculator}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Its files, the record first."""
        return tuple(f"{self.place}/{name}" for name in (self.output, *self.written.values()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Files of other jobs."""
        return tuple(f"results/{name}" for names in self.read.values() for name in names.split())

    @property
    def arguments(self) -> list[str]:
        """The command line."""
        if self.command == "forces":
            return ["calculators", "forces", "emt", "--phase", self.structure, "--library", ".", "--output", self.outputs[0]]
        phases = ["structures/Cu.yaml"] if self.structure == "twin" else []
        recipes = [
            "--structure",
            f"structures/{self.structure}.yaml",
            "--phases",
            *phases,
            "--calculator",
            f"calculators/{self.calculator}.yaml",
        ]
        files = [word for option, name in self.written.items() for word in (f"--{option}", f"{self.place}/{name}")]
        given = [
            word for option, names in self.read.items() for word in (f"--{option}", *(f"results/{n}" for n in names.split()))
        ]
        settings = ["--settings", json.dumps(self.settings)]
        return [self.command, *recipes, *settings, *files, *given, *self.words, "--output", self.outputs[0]]


MIRROR = {"relaxed": "twin/emt/still.extxyz"}
CUAU, CU, PLANAR = ({"relaxed": f"{name}/emt/relaxed.extxyz"} for name in ("CuAu", "Cu", "twin"))
CRYSTALS = {"crystals": "Cu/emt/relaxed.extxyz"}
JOBS = {
    "relaxation of copper": Job(
        "relax", "Cu", "relaxation.json", {"relaxed": "relaxed.extxyz"}, {"built": "Cu/emt/built.extxyz"}, kills=0
    ),
    "relaxation": Job("relax", "CuAu", "relaxation.json", {"relaxed": "relaxed.extxyz"}, {"built": "CuAu/emt/built.extxyz"}),
    "elasticity": Job("elasticity", "CuAu", "elasticity.json", read=CUAU, kills=3),
    "phonons": Job("phonons", "CuAu", "phonons.json", read=CUAU, settings={"phonons": {"image_distance": 5, "mesh_density": 20}}),
    "forces": Job("forces", "Cu", "forces.extxyz", kills=1),
    "softness": Job(
        "softness",
        "Cu",
        "softness.json",
        read={"reference": "Cu/emt/forces.extxyz"},
        settings={"softness": {"reference": "emt"}},
        kills=1,
    ),
    "vacancy": Job(
        "vacancy",
        "CuAu",
        "site_1.json",
        {"frame": "site_1.extxyz"},
        CUAU,
        {"migration": {"image_distance": 5}},
        ("--site", "site_1"),
        kills=1,
    ),
    "hop": Job(
        "hop",
        "CuAu",
        "hop_1.json",
        {"frames": "hop_1.extxyz"},
        CUAU | {"vacancies": "CuAu/emt/site_1.json"},
        {"migration": {"image_distance": 5}},
        ("--hop", "hop_1"),
    ),
    "band": Job(
        "hop",
        "CuAu",
        "band.json",
        {"frames": "band.extxyz"},
        CUAU | {"vacancies": "CuAu/emt/site_1.json"},
        SHAKY,
        ("--hop", "hop_1"),
        3,
    ),
    "defects": Job("defects", "Cu", "defects.json", read=CU, settings={"defects": DEFECTS}),
    "interstitial hop": Job(
        "interstitial-migration",
        "Cu",
        "interstitial.json",
        {"frames": "interstitial.extxyz"},
        CU,
        {"interstitial_migration": FAST},
        kills=1,
    ),
    "registry": Job(
        "register", "twin", "registry.json", {"registered": "registered.extxyz"}, CRYSTALS, {"registry": {"candidates": 1}}
    ),
    "planar relaxation": Job(
        "relax", "twin", "relaxation.json", {"relaxed": "relaxed.extxyz"}, {"built": "twin/emt/registered.extxyz"}
    ),
    "boundary": Job(
        "boundary", "twin", "boundary.json", read=PLANAR | CRYSTALS | {"registry": "twin/emt/registry.json"}, kills=1
    ),
    "own registry": Job(
        "register", "twin", "own.json", {"registered": "own.extxyz"}, CRYSTALS, {"registry": {"candidates": 0}}, kills=0
    ),
    "still relaxation": Job(
        "relax", "twin", "still.json", {"relaxed": "still.extxyz"}, {"built": "twin/emt/own.extxyz"}, STILL, kills=0
    ),
    "site 1": Job("site-defect", "twin", "Cu_1.json", {"frame": "Cu_1.extxyz"}, MIRROR, PLANE, ("--site", "Cu_1"), kills=1),
    "site 2": Job("site-defect", "twin", "Cu_2.json", {"frame": "Cu_2.extxyz"}, MIRROR, PLANE, ("--site", "Cu_2"), kills=0),
    "segregation": Job(
        "segregation",
        "twin",
        "segregation.json",
        read=MIRROR | CRYSTALS | {"sites": "twin/emt/Cu_1.json twin/emt/Cu_2.json"},
        settings=PLANE,
        kills=1,
    ),
    "paths": Job(
        "paths",
        "twin",
        "migration.json",
        {"frames": "hops.extxyz"},
        MIRROR | {"sites": "twin/emt/Cu_1.json twin/emt/Cu_2.json", "vacancies": "twin/emt/Cu_1.extxyz twin/emt/Cu_2.extxyz"},
        PLANE | {"migration": HOPS},
    ),
}
