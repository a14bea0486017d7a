rule build:
    input:
        structure=PLAN.structure_file,
    output:
        f"{PAIR}/built.extxyz",
    log:
        f"{PAIR}/logs/build.log",
    conda:
        "../envs/seiflow.yml"
    message:
        "build {wildcards.structure}"
    shell:
        "seiflow build --structure {input.structure:q} --output {output:q} 2> {log:q}"


rule relax:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        built=f"{PAIR}/built.extxyz",
    output:
        record=f"{PAIR}/relaxation.json",
        relaxed=f"{PAIR}/relaxed.extxyz",
    log:
        f"{PAIR}/logs/relaxation.log",
    benchmark:
        f"{PAIR}/logs/relaxation.tsv"
    conda:
        "../envs/seiflow.yml"
    threads: 1
    resources:
        mem_mb=PLAN.memory,
    params:
        settings=PLAN.settings("relaxation"),
    message:
        "relax {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow relax --structure {input.structure:q} --calculator {input.calculator:q} --settings {params.settings:q}"
        " --built {input.built:q} --relaxed {output.relaxed:q} --output {output.record:q} --log {log:q}"
