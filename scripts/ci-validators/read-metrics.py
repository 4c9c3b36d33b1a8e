"""Reads metrics as Prometheus does; prints every family with its kind and number of samples, and ends with 1 on what is none."""
import sys

from prometheus_client.parser import text_string_to_metric_families

for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    seen = set()
    for family in text_string_to_metric_families(text):
        if family.type == "unknown" or not family.documentation or family.name in seen:
            sys.exit(f"{path}: {family.name} has no type, no help, or stands twice")
        seen.add(family.name)
        print(family.name, family.type, len(family.samples))
        for sample in family.samples:
            if family.type == "counter" and not sample.name.endswith("_total"):
                sys.exit(f"{path}: the counter {sample.name} does not end in _total")
    if not seen:
        sys.exit(f"{path}: no metric")
