rule build:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
    output:
        f"{PAIR}/built.extxyz",
    log:
        f"{PAIR}/logs/build.log",
    conda:
        "../envs/seiflow.yml"
    message:
        "build {wildcards.structure}"
    shell:
        "seiflow build --structure {input.structure:q} --phases {input.phases:q} --output {output:q} 2> {log:q}"


rule register:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        crystals=PLAN.crystals,
        stiffnesses=PLAN.stiffnesses,
    output:
        record=f"{PAIR}/registry.json",
        registered=f"{PAIR}/registered.extxyz",
    log:
        f"{PAIR}/logs/registry.log",
    benchmark:
        f"{PAIR}/logs/registry.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("registry"),
    message:
        "find the registry of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow register --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --crystals {input.crystals:q} --stiffnesses {input.stiffnesses:q}"
        " --registered {output.registered:q} --output {output.record:q} --log {log:q}"


rule relax:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        built=PLAN.start,
    output:
        record=f"{PAIR}/relaxation.json",
        relaxed=f"{PAIR}/relaxed.extxyz",
    log:
        f"{PAIR}/logs/relaxation.log",
    benchmark:
        f"{PAIR}/logs/relaxation.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("relaxation"),
    message:
        "relax {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow relax --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --built {input.built:q} --relaxed {output.relaxed:q} --output {output.record:q} --log {log:q}"
