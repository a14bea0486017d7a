checkpoint hops:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
    output:
        f"{PAIR}/hops.json",
    log:
        f"{PAIR}/logs/hops.log",
    localrule: True
    conda:
        PLAN.conda
    threads: 1
    params:
        settings=PLAN.settings("migration"),
    message:
        "hops of {wildcards.structure} relaxed with {wildcards.calculator}"
    shell:
        "seiflow hops --structure {input.structure:q} --calculator {input.calculator:q} --settings {params.settings:q}"
        " --relaxed {input.relaxed:q} --output {output:q} --log {log:q}"


rule vacancy:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        head_start=PLAN.head_start("vacancies", "site"),
    output:
        record=f"{PAIR}/vacancies/{{site}}.json",
        frame=f"{PAIR}/vacancies/{{site}}.extxyz",
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
        settings=PLAN.settings("migration"),
    message:
        "vacancy {wildcards.site} of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow vacancy --structure {input.structure:q} --calculator {input.calculator:q} --processes {threads} --settings {params.settings:q}"
        " --relaxed {input.relaxed:q} --site {wildcards.site:q} --frame {output.frame:q}"
        " --head-start {input.head_start:q} --output {output.record:q} --log {log:q}"


rule hop:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        vacancies=vacancy_records,
        head_start=PLAN.head_start("hops", "hop"),
    output:
        record=f"{PAIR}/hops/{{hop}}.json",
        frames=f"{PAIR}/hops/{{hop}}.extxyz",
    log:
        f"{PAIR}/logs/{{hop}}.log",
    benchmark:
        f"{PAIR}/logs/{{hop}}.tsv"
    priority: 10
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("migration"),
    message:
        "{wildcards.hop} of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow hop --structure {input.structure:q} --calculator {input.calculator:q} --processes {threads} --settings {params.settings:q}"
        " --relaxed {input.relaxed:q} --hop {wildcards.hop:q} --vacancies {input.vacancies:q} --frames {output.frames:q}"
        " --head-start {input.head_start:q} --output {output.record:q} --log {log:q}"


rule barrier_check:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        hops=hops_of_cheaper,
    output:
        f"{PAIR}/barrier_check.json",
    log:
        f"{PAIR}/logs/barrier_check.log",
    benchmark:
        f"{PAIR}/logs/barrier_check.tsv"
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("barrier_check"),
        cheaper=PLAN.cheaper,
    message:
        "single points at the saddles of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow barrier-check --structure {input.structure:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --cheaper {params.cheaper:q} --hops {input.hops:q} --output {output:q} --log {log:q}"


rule interstitial_migration:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
    output:
        record=f"{PAIR}/interstitial_migration.json",
        frames=f"{PAIR}/interstitial_migration.extxyz",
    log:
        f"{PAIR}/logs/interstitial_migration.log",
    benchmark:
        f"{PAIR}/logs/interstitial_migration.tsv"
    priority: 10
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("interstitial_migration"),
    message:
        "interstitial hops of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow interstitial-migration --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q}"
        " --processes {threads} --settings {params.settings:q} --relaxed {input.relaxed:q} --frames {output.frames:q} --output {output.record:q}"
        " --log {log:q}"


rule migration:
    input:
        structure=PLAN.structure_file,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        hops=hop_records,
    output:
        f"{PAIR}/migration.json",
    log:
        f"{PAIR}/logs/migration.log",
    wildcard_constraints:
        structure=PLAN.pattern(phases=True),
    localrule: True
    conda:
        PLAN.conda
    threads: 1
    params:
        settings=PLAN.settings("migration"),
    message:
        "percolation of {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow migration --structure {input.structure:q} --calculator {input.calculator:q} --settings {params.settings:q}"
        " --relaxed {input.relaxed:q} --hops {input.hops:q} --output {output:q} --log {log:q}"


rule paths:
    input:
        structure=PLAN.structure_file,
        phases=PLAN.phase_files,
        calculator=PLAN.calculator_file,
        relaxed=f"{PAIR}/relaxed.extxyz",
        sites=site_records,
        vacancies=site_frames,
        bulk=PLAN.migrations,
    output:
        record=f"{PAIR}/migration.json",
        frames=f"{PAIR}/hops.extxyz",
    log:
        f"{PAIR}/logs/migration.log",
    benchmark:
        f"{PAIR}/logs/migration.tsv"
    wildcard_constraints:
        structure=PLAN.pattern(phases=False),
    priority: 10
    conda:
        PLAN.conda
    threads: PLAN.threads
    resources:
        **PLAN.resources,
    params:
        settings=PLAN.settings("migration"),
    message:
        "hops along and across {wildcards.structure} with {wildcards.calculator}"
    shell:
        "seiflow paths --structure {input.structure:q} --phases {input.phases:q} --calculator {input.calculator:q} --processes {threads}"
        " --settings {params.settings:q} --relaxed {input.relaxed:q} --sites {input.sites:q} --vacancies {input.vacancies:q}"
        " --bulk {input.bulk:q} --frames {output.frames:q} --output {output.record:q} --log {log:q}"
