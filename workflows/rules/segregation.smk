checkpoint sites:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
    output:
        f"{PAIR}/sites.json",
    log:
        f"{PAIR}/logs/sites.log",
    localrule: True
    conda:
        PLAN.conda
    threads: 1
    params:
        settings=PLAN.settings("segregation"),
    message:
        "sites of {wildcards.structure} relaxed with {wildcards.calculator}"
    shell:
        "seiflow sites --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --output {output:q} --log {log:q}"


rule site_defect:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
    output:
        record=f"{PAIR}/sites/{{site}}.json",
        frame=f"{PAIR}/sites/{{site}}.extxyz",
    log:
        f"{PAIR}/logs/{{site}}.log",
    benchmark:
        f"{PAIR}/logs/{{site}}.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("segregation"),
    message:
        "defect at {wildcards.site} of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow site-defect --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --site {wildcards.site:q} --frame {output.frame:q}"
        " --output {output.record:q} --log {log:q}"


rule segregation:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        crystals=PLAN.crystals,
        sites=defect_records,
    output:
        f"{PAIR}/segregation.json",
    log:
        f"{PAIR}/logs/segregation.log",
    benchmark:
        f"{PAIR}/logs/segregation.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("segregation"),
    message:
        "profile of defects in {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow segregation --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --crystals {input.crystals:q} --sites {input.sites:q}"
        " --output {output:q} --log {log:q}"
