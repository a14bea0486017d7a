from seiflow.workflow import names_in, plan, sites_of_hop

PLAN = plan(config)
RESULTS = PLAN.results
PAIR = f"{RESULTS}/{{structure}}/{{calculator}}"


wildcard_constraints:
    structure="[^/]+",
    calculator="[^/]+",
    hop="[^/]+",
    site="[^/]+",
