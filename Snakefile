from seiflow.snakefile import usual_study
from snakemake.utils import min_version

min_version("9.27")

if not workflow.configfiles and "calculations" not in config:

    configfile: usual_study()


include: "workflows/rules/common.smk"
include: "workflows/rules/structures.smk"
include: "workflows/rules/crystal.smk"
include: "workflows/rules/migration.smk"
include: "workflows/rules/boundary.smk"
include: "workflows/rules/segregation.smk"
include: "workflows/rules/report.smk"


rule all:
    default_target: True
    input:
        PLAN.records,
        PLAN.structures,
        parts_of_migrations,
        f"{RESULTS}/report.html",
