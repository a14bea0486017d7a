rule boundary:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        registry=f"{PAIR}/registry.json",
        crystals=PLAN.crystals,
        stiffnesses=PLAN.stiffnesses,
    output:
        f"{PAIR}/boundary.json",
    log:
        f"{PAIR}/logs/boundary.log",
    benchmark:
        f"{PAIR}/logs/boundary.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("boundary"),
    message:
        "energies of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow boundary --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --registry {input.registry:q}"
        " --crystals {input.crystals:q} --stiffnesses {input.stiffnesses:q} --output {output:q} --log {log:q}"
