"""The rules of the workflow that make results: the command of each, what it reads, what it writes, and where all of that lies.

Files are named by their place below the folder of a structure with a calculator. In all names ``{}`` stands for what the rule is
given to make, or for one of several inputs: a site, a hop, a phase.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

BUILT = "built.extxyz"

Owner = Literal["own", "phases", "cheaper", "study"]
"""Whose folder a file lies in: that of the same structure and calculator, of phases with this calculator, of the same structure
with a cheaper calculator, or one that the study says."""

Listed = tuple[str, str, str]
"""A record that names sites or hops, the key of their list in it, and the key of the name of each."""

HOPS: Listed = ("hops.json", "hops", "hop")
SITES: Listed = ("sites.json", "sites", "name")
INTERSTITIALS: Listed = ("sites.json", "interstitials", "name")


@dataclass(frozen=True)
class Source:
    """What a rule reads.

    Attributes:
        name: What provenance calls it.
        argument: Of the function of the job.
        option: Of the command.
        file: Where it lies.
        owner: In whose folder that is.
        many: Whether there may be several.
        listed: What lists them; nothing if the study does, or the rule itself.
    """

    name: str
    argument: str
    option: str
    file: str
    owner: Owner = "own"
    many: bool = False
    listed: tuple[Listed, ...] = ()

    def item(self, name: str) -> str | None:
        """Return what stands for ``{}`` in a name, nothing for a name without; None if the name is that of another input."""
        found = re.fullmatch(re.escape(self.name).replace(r"\{\}", "(.+)"), name)
        return None if found is None else "".join(found.groups())


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        command: That it calls; the function of the job has the same name.
        record: The label of its result.
        module: Of ``seiflow.jobs`` in which its job is.
        section: Of the settings.
        sources: What it reads.
        writes: Structures that it writes beside the record.
        frames: Argument and option that name them; the first is that of the job, the second that of the command.
        item: Likewise of the site or hop.
    """

    command: str
    record: str
    module: str
    section: str
    sources: tuple[Source, ...] = ()
    writes: str = ""
    frames: tuple[str, str] = ("", "")
    item: tuple[str, str] = ("", "")

    @property
    def job(self) -> str:
        """Name of the function of its job."""
        return self.command.replace("-", "_")

    def source(self, name: str) -> tuple[Source, str] | None:
        """Return the input that provenance calls by a name, with what stands for ``{}``; None if the rule has none such."""
        for source in sorted(self.sources, key=lambda source: -len(source.name)):  # a bare {} comes last
            item = source.item(name)
            if item is not None:
                return source, item
        return None


RELAXED = Source("relaxed", "relaxed", "--relaxed", "relaxed.extxyz")
CRYSTALS = Source("relaxed {}", "crystals", "--crystals", "relaxed.extxyz", "phases", many=True)
STIFFNESSES = Source("elasticity {}", "stiffnesses", "--stiffnesses", "elasticity.json", "phases", many=True)
VACANCY_BEFORE, HOP_BEFORE = (
    Source("head start", "head_start", "--head-start", f"{folder}/{{}}.extxyz", "cheaper") for folder in ("vacancies", "hops")
)
SITE_RECORDS = ("site_files", "--sites", "sites/{}.json")
SITE, FRAME, FRAMES = ("site", "--site"), ("frame", "--frame"), ("frames", "--frames")

RULES = (
    Rule(
        *("relax", "relaxation", "crystal", "relaxation"),
        sources=(Source("built", "built", "--built", BUILT, "study"),),
        writes="relaxed.extxyz",
        frames=("relaxed", "--relaxed"),
    ),
    Rule(
        *("register", "registry", "planar", "registry"),
        sources=(CRYSTALS, STIFFNESSES),
        writes="registered.extxyz",
        frames=("registered", "--registered"),
    ),
    Rule("elasticity", "elasticity", "crystal", "elasticity", (RELAXED,)),
    Rule("phonons", "phonons", "crystal", "phonons", (RELAXED,)),
    Rule(
        *("softness", "softness", "crystal", "softness"),
        sources=(Source("reference", "reference", "--reference", "", "study"),),
    ),
    Rule(
        *("defects", "defects", "crystal", "defects"),
        sources=(RELAXED, Source("reservoir", "reservoir", "--reservoir", "relaxation.json", "study")),
    ),
    Rule(
        *("charged-defects", "charged_defects", "charged", "charged_defects"),
        sources=(RELAXED, Source("competing {}", "competing", "--competing", "relaxation.json", "phases", many=True)),
    ),
    Rule("hops", "hops", "migration", "migration", (RELAXED,)),
    Rule(
        *("vacancy", "vacancies/{}", "migration", "migration"),
        sources=(RELAXED, VACANCY_BEFORE),
        writes="vacancies/{}.extxyz",
        frames=FRAME,
        item=SITE,
    ),
    Rule(
        *("hop", "hops/{}", "migration", "migration"),
        sources=(RELAXED, Source("vacancy {}", "vacancy_files", "--vacancies", "vacancies/{}.json", many=True), HOP_BEFORE),
        writes="hops/{}.extxyz",
        frames=FRAMES,
        item=("name", "--hop"),
    ),
    Rule(
        *("migration", "migration", "migration", "migration"),
        sources=(RELAXED, Source("{}", "hop_files", "--hops", "hops/{}.json", many=True, listed=(HOPS,))),
    ),
    Rule(
        *("paths", "migration", "migration", "migration"),
        sources=(
            RELAXED,
            Source("{}.json", *SITE_RECORDS, many=True, listed=(SITES,)),
            Source("{}.extxyz", "vacancy_files", "--vacancies", "sites/{}.extxyz", many=True, listed=(SITES,)),
            Source("migration {}", "bulk_files", "--bulk", "migration.json", "phases", many=True),
        ),
        writes="hops.extxyz",
        frames=FRAMES,
    ),
    Rule(
        *("barrier-check", "barrier_check", "migration", "migration"),
        sources=(Source("{}", "hop_files", "--hops", "hops/{}.extxyz", "cheaper", many=True, listed=(HOPS,)),),
    ),
    Rule(
        *("interstitial-migration", "interstitial_migration", "migration", "interstitial_migration"),
        sources=(RELAXED,),
        writes="interstitial_migration.extxyz",
        frames=FRAMES,
    ),
    Rule("sites", "sites", "segregation", "segregation", (RELAXED,)),
    Rule(
        *("site-defect", "sites/{}", "segregation", "segregation"),
        sources=(RELAXED,),
        writes="sites/{}.extxyz",
        frames=FRAME,
        item=SITE,
    ),
    Rule(
        *("segregation", "segregation", "segregation", "segregation"),
        sources=(RELAXED, Source("{}", *SITE_RECORDS, many=True, listed=(SITES, INTERSTITIALS)), CRYSTALS),
    ),
    Rule(
        *("boundary", "boundary", "planar", "boundary"),
        sources=(RELAXED, Source("registry", "registry", "--registry", "registry.json"), CRYSTALS, STIFFNESSES),
    ),
)
"""Each begins with its command, the label of its record, the module of its job, and the section of its settings."""


def rule_of(label: str, *, crystal: bool) -> Rule | None:
    """Return the rule that makes a result; None if none does.

    Args:
        label: ``relaxation`` or ``hops/hop_1``.
        crystal: Whether the result is of a crystal, and not of a structure with a plane.
    """
    head, _, last = label.rpartition("/")
    pattern = f"{head}/{{}}" if head else last
    found = [rule for rule in RULES if rule.record == pattern]
    return next((rule for rule in found if len(found) == 1 or (rule.command == "migration") == crystal), None)


def label_of(file: str) -> str:
    """Return the label of the record that is written with a file, by its place; a record and a built structure are their own."""
    shared = {rule.writes: rule.record for rule in RULES if "{}" not in rule.writes}
    return shared.get(file) or PurePosixPath(file).with_suffix("").as_posix()
