"""Reads crontabs as crond does; prints each job's schedule and command, and ends with 1 where a line is neither."""
import sys

from crontab import CronTab

wrong = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        table = CronTab(tab=file.read())
    for line in table.lines:
        text = str(line).strip()
        if isinstance(line, str):
            # What is no job is a comment, a variable or nothing.
            if text and not text.startswith("#") and "=" not in text.split(" ", 1)[0]:
                print(f"{path}: no job: {text}")
                wrong += 1
        elif not (line.is_valid() and line.enabled):
            print(f"{path}: no schedule: {text}")
            wrong += 1
        else:
            print(f"{line.slices}\t{line.command}")
    wrong += len(list(table)) == 0
sys.exit(wrong > 0)
