"""What a run left behind: about.json says on what it ran, raw.jsonl has a record a measurement."""

import collections
import json

import rows as work


class Results:
    """The records of a run, by row and contender."""

    def __init__(self, about, records):
        self.about = about
        self.records = records
        self.contenders = {each["name"]: each for each in about["contenders"]}
        self.runs = collections.defaultdict(lambda: collections.defaultdict(list))
        self.failures = collections.defaultdict(list)
        for record in records:
            key = record["row"], record["contender"]
            if "failed" in record:
                self.failures[key].append(record["failed"])
            else:
                self.runs[record["row"]][record["contender"]].append(record)

    @property
    def unfinished(self):
        """Whether the run ended before its time: by Ctrl-C, or killed, or with the machine."""
        return bool(self.about.get("unfinished") or self.about.get("interrupted"))

    @property
    def whole_rounds(self):
        """How many rounds have all their measurements, but for what failed or came too late."""
        begun = 1 + max((record["round"] for record in self.records), default=-1)
        return max(begun - 1, 0) if self.unfinished else begun

    @property
    def rows(self):
        """The rows that were asked for, in their order; those that are unknown by now left out."""
        return [row for row in work.ROWS if row.id in set(self.about["rows"])]

    def title(self, name):
        return self.contenders.get(name, {}).get("title", name)

    def names(self, row, kind=None):
        """Those who have figures in a row, in the contenders' order."""
        return [name for name, each in self.contenders.items()
                if self.runs[row.id].get(name) and kind in (None, each["kind"])]

    def of(self, row, name):
        return self.runs[row.id].get(name, [])

    def measured(self, room):
        return [row for row in self.rows if row.room == room and self.names(row)]


def read(folder):
    with open(folder / "about.json", encoding="utf-8") as text:
        about = json.load(text)
    with open(folder / "raw.jsonl", encoding="utf-8") as text:
        lines = text.readlines()
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]  # killed while it was written
    return Results(about, [json.loads(line) for line in lines])


def write_about(folder, about):
    with open(folder / "about.json", "w", encoding="utf-8") as text:
        json.dump(about, text, indent=2, ensure_ascii=False)
        text.write("\n")
