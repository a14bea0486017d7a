rule build:
    input:
        structure=PLAN.structure_file,
    output:
        f"{PAIR}/built.extxyz",
    log:
        f"{PAIR}/logs/build.log",
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
    params:
        settings=PLAN.settings("relaxation"),
    resources:
        mem_mb=PLAN.memory,
    threads: 1
    message:
        "relax {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow relax --structure {input.structure:q} --calculator {input.calculator:q} --settings {params.settings:q}"
        " --built {input.built:q} --relaxed {output.relaxed:q} --output {output.record:q} --log {log:q}"
