import sys

from seiflow.resident import offer
from seiflow.snakefile import refuse_moved, require_command
from seiflow.workflow import names_in, plan, site_names, sites_of_hop

DEPLOYMENT = getattr(workflow.deployment_settings, "deployment_method", ())
if not DEPLOYMENT:
    require_command()
PLAN = plan(
    config,
    [str(file) for file in workflow.configfiles],
    with_conda="CONDA" in {method.name for method in DEPLOYMENT},
    leads=workflow.is_main_process,
    dry=workflow.output_settings.dryrun,
)
offer(sys.argv)
RESULTS = PLAN.results
refuse_moved(RESULTS, workflow.modifier.path_modifier.replace_prefix(RESULTS))
PAIR = f"{RESULTS}/{{structure}}/{{calculator}}"


wildcard_constraints:
    structure="[^/]+",
    calculator="[^/]+",
    hop="[^/]+",
    site="[^/]+",


def hop_records(wildcards):
    """Records of all hops of a structure, known once its network is."""
    network = checkpoints.hops.get(
        structure=wildcards.structure, calculator=wildcards.calculator
    ).output[0]
    return expand(
        f"{PAIR}/hops/{{hop}}.json", hop=names_in(network, "hops", "hop"), **wildcards
    )


def hops_of_cheaper(wildcards):
    """Structures of all hops as the calculator found them that another one starts from."""
    pair = {"structure": wildcards.structure, "calculator": PLAN.cheaper(wildcards)}
    network = checkpoints.hops.get(**pair).output[0]
    return expand(
        f"{PAIR}/hops/{{hop}}.extxyz", hop=names_in(network, "hops", "hop"), **pair
    )


def parts_of_migrations(_):
    """Records that migrations are made from; wanted by themselves, so that a lost one is computed again."""
    parts = []
    for pair in PLAN.pairs("migration", phases=True):
        network = checkpoints.hops.get(**pair).output[0]
        parts += expand(
            f"{PAIR}/hops/{{hop}}.json", hop=names_in(network, "hops", "hop"), **pair
        )
        parts += expand(
            f"{PAIR}/vacancies/{{site}}.json",
            site=names_in(network, "sites", "site"),
            **pair,
        )
    for pair in PLAN.pairs("migration", phases=False):
        sites = checkpoints.sites.get(**pair).output[0]
        parts += expand(f"{PAIR}/sites/{{site}}.json", site=site_names(sites), **pair)
    return parts


def vacancy_records(wildcards):
    """Records of the vacancies at the two ends of a hop."""
    network = checkpoints.hops.get(
        structure=wildcards.structure, calculator=wildcards.calculator
    ).output[0]
    pair = {"structure": wildcards.structure, "calculator": wildcards.calculator}
    return expand(
        f"{PAIR}/vacancies/{{site}}.json",
        site=sites_of_hop(network, wildcards.hop),
        **pair,
    )


def site_records(wildcards, suffix="json", interstitials=False):
    """Records of the vacancies at all sites of a boundary, known once it is relaxed."""
    sites = checkpoints.sites.get(
        structure=wildcards.structure, calculator=wildcards.calculator
    ).output[0]
    names = site_names(sites, interstitials=interstitials)
    return expand(f"{PAIR}/sites/{{site}}.{suffix}", site=names, **wildcards)


def site_frames(wildcards):
    """Structures of the vacancies at all sites of a boundary."""
    return site_records(wildcards, "extxyz")


def defect_records(wildcards):
    """Records of the vacancies and interstitials at all sites of a boundary."""
    return site_records(wildcards, interstitials=True)
