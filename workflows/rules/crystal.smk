rule elasticity:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
    output:
        f"{PAIR}/elasticity.json",
    log:
        f"{PAIR}/logs/elasticity.log",
    benchmark:
        f"{PAIR}/logs/elasticity.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("elasticity"),
    message:
        "elasticity of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow elasticity --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --output {output:q} --log {log:q}"


rule phonons:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
    output:
        f"{PAIR}/phonons.json",
    log:
        f"{PAIR}/logs/phonons.log",
    benchmark:
        f"{PAIR}/logs/phonons.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("phonons"),
    message:
        "phonons of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow phonons --structure {input.structure:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --output {output:q} --log {log:q}"


rule softness:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        reference=PLAN.reference_forces,
    output:
        f"{PAIR}/softness.json",
    log:
        f"{PAIR}/logs/softness.log",
    benchmark:
        f"{PAIR}/logs/softness.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("softness"),
    message:
        "softness of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow softness --structure {input.structure:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --reference {input.reference:q} --output {output:q} --log {log:q}"


rule defects:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        reservoir=PLAN.reservoir,
    output:
        f"{PAIR}/defects.json",
    log:
        f"{PAIR}/logs/defects.log",
    benchmark:
        f"{PAIR}/logs/defects.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("defects"),
    message:
        "point defects of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow defects --structure {input.structure:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --reservoir {input.reservoir:q} --output {output:q} --log {log:q}"


rule charged_defects:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        competing=PLAN.competing,
    output:
        f"{PAIR}/charged_defects.json",
    log:
        f"{PAIR}/logs/charged_defects.log",
    benchmark:
        f"{PAIR}/logs/charged_defects.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("charged_defects"),
    message:
        "charged defects of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow charged-defects --structure {input.structure:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --competing {input.competing:q} --output {output:q} --log {log:q}"
