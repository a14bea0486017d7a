"""The numbers of hops and percolation barriers, and the activation energy that follows with the cost of vacancies."""

from collections.abc import Iterator

from seiflow.report.collect import Case
from seiflow.report.migration_views import PlanarMigration
from seiflow.report.quantity import Quantity
from seiflow.report.views import Migration
from seiflow.report.wording import show


def migration_quantities(case: Case) -> Iterator[Quantity]:
    """Yield every number of the migration of a case."""
    yield from _hops(case)
    if case.migration:
        yield from _bulk(case.migration)
    if case.paths:
        yield from _planar(case.paths)
    for hop in case.barrier_check.hops if case.barrier_check else ():
        yield Quantity(f"single_point_barrier_ev[{hop.hop}]", hop.barrier_forward_ev)
        yield Quantity(f"single_point_barrier_back_ev[{hop.hop}]", hop.barrier_backward_ev)
        yield Quantity(f"cheaper_barrier_ev[{hop.hop}]", hop.cheaper_forward_ev)
        yield Quantity(f"single_point_force_ev_per_angstrom[{hop.hop}]", hop.largest_force_ev_per_angstrom)
    final = case.migration or case.paths
    if final:
        yield Quantity("image_distance_angstrom", final.image_distance_angstrom)
        yield Quantity("cutoff_angstrom", final.cutoff_angstrom)
    intrinsic = intrinsic_activation_energy(case)
    if intrinsic is not None:
        yield Quantity("intrinsic_activation_energy_ev", intrinsic)


def _hops(case: Case) -> Iterator[Quantity]:
    final = case.migration or case.paths
    listed = final.hops if final else ()
    for hop in listed:
        for name in ("barrier_forward_ev", "barrier_backward_ev", "distance_angstrom", "multiplicity"):
            yield Quantity(f"{name}[{hop.hop}]", getattr(hop, name))
    known = {hop.hop for hop in listed}
    for band in case.bands:
        names = ["straight_barrier_ev", "pushed_barrier_ev", "offset_angstrom", "negative_modes"]
        names += ["saddle_energy_ev", "initial_energy_ev", "final_energy_ev"]
        if band.hop not in known:
            names = ["barrier_forward_ev", "barrier_backward_ev", "distance_angstrom", *names]
        for name in names:
            if getattr(band, name) is not None:
                yield Quantity(f"{name}[{band.hop}]", getattr(band, name))
        if band.larger:
            yield Quantity(f"barrier_larger_cell_change_ev[{band.hop}]", band.larger.barrier_change_ev)
            yield Quantity(f"larger_image_distance_angstrom[{band.hop}]", band.larger.image_distance_angstrom)


def _bulk(record: Migration) -> Iterator[Quantity]:
    for axis, barrier in record.percolation_barrier_ev.items():
        yield Quantity(f"percolation_barrier_ev[{axis}]", barrier)
    for dimensions in "123":
        name = f"percolation_barrier_{dimensions}d_ev"
        yield Quantity(name, getattr(record, name))


def _planar(record: PlanarMigration) -> Iterator[Quantity]:
    for found in record.percolation:
        least = None if found.settled else found.lower_bound_ev
        yield Quantity(f"percolation_barrier_{_where(found.axis)}", found.barrier_ev, least)
        yield Quantity(f"percolation_lower_bound_{_where(found.axis)}", found.lower_bound_ev)
    for bulk in record.bulk:
        yield Quantity(f"bulk_percolation_barrier_3d_ev[{bulk.phase}]", bulk.percolation_barrier_3d_ev)
    yield Quantity("migration_hops", len(record.network))
    yield Quantity("migration_hops_computed", len(record.hops))
    yield Quantity("migration_hops_failed", len(record.failed))
    for hop in record.network:
        yield Quantity(f"hop_bound_ev[{hop.hop}]", hop.bound_ev)
        if hop.ceiling_ev is not None:
            yield Quantity(f"hop_ceiling_ev[{hop.hop}]", hop.ceiling_ev)
        if hop.level_ev is not None:
            yield Quantity(f"hop_level_ev[{hop.hop}]", hop.level_ev)
    for site in record.sites:
        yield Quantity(f"site_energy_ev[{site.site}]", site.energy_ev)


def _where(axis: str) -> str:
    return "across_ev" if axis == "c" else f"along_ev[{axis}]"


def intrinsic_activation_energy(case: Case) -> float | None:
    """Return the activation energy of diffusion in a pure crystal whose vacancies come from Schottky sets, eV, or None.

    Mass action makes the vacancies as many as exp(-E_Schottky / n kT), with n vacancies in a set; moving one costs the barrier.
    """
    terms = _terms(case)
    return None if terms is None else terms[0] + terms[1] / terms[2]


def intrinsic_in_words(case: Case) -> str:
    """Return how the intrinsic activation energy is worked out, or nothing."""
    terms = _terms(case)
    if terms is None:
        return ""
    barrier, schottky, vacancies = terms
    return (
        f"E(migration) + E(Schottky)/{vacancies} = {show(barrier, '')} + {show(schottky, '')}/{vacancies} eV, "
        f"for a pure crystal in which sets of {vacancies} vacancies are the only defects"
    )


def _terms(case: Case) -> tuple[float, float, int] | None:
    """Return barrier and Schottky energy, eV, and how many vacancies a Schottky set has."""
    barrier = case.migration.percolation_barrier_3d_ev if case.migration else None
    schottky = case.defects.schottky_energy_ev if case.defects else None
    vacancies = sum(case.defects.schottky.units.values()) if case.defects else 0
    return None if barrier is None or schottky is None or not vacancies else (barrier, schottky, vacancies)


def barrier_keys(case: Case) -> list[str]:
    """Return the keys of the barriers that a reader looks for first."""
    if case.paths:
        return [
            *(f"percolation_barrier_{_where(found.axis)}" for found in case.paths.percolation),
            *(f"bulk_percolation_barrier_3d_ev[{bulk.phase}]" for bulk in case.paths.bulk),
        ]
    hops = [hop.hop for hop in case.migration.hops] if case.migration else [hop.hop for hop in case.hops]
    keys = [f"barrier_forward_ev[{hop}]" for hop in hops]
    if case.migration is None:
        return keys
    barriers = {f"percolation_barrier_{n}d_ev": getattr(case.migration, f"percolation_barrier_{n}d_ev") for n in "123"}
    last = "percolation_barrier_3d_ev"
    keys += [key for key, barrier in barriers.items() if key == last or barrier != barriers[last]]
    return keys + ([] if intrinsic_activation_energy(case) is None else ["intrinsic_activation_energy_ev"])
