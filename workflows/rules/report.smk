rule report:
    input:
        records=PLAN.records,
        study=PLAN.file,
    output:
        table=report(
            f"{RESULTS}/table.csv", caption="../report/table.rst", category="Numbers"
        ),
        page=report(
            f"{RESULTS}/report.html", caption="../report/report.rst", category="Report"
        ),
        figures=report(
            directory(f"{RESULTS}/figures"),
            patterns=["{name}.svg", "{name}.png"],
            caption="../report/figure.rst",
            category="Figures",
        ),
    log:
        f"{RESULTS}/logs/report.log",
    localrule: True
    conda:
        "../envs/seiflow.yml"
    threads: 1
    message:
        "write table, figures and report"
    shell:
        "seiflow report {input.study:q} > {log:q} 2>&1"


onstart:
    PLAN.begin(keep_going=workflow.execution_settings.keep_going)


onerror:
    shell(
        "seiflow report {PLAN.file:q} > /dev/null || true; seiflow status --failed {PLAN.file:q} || true"
    )
