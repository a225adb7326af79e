#!/usr/bin/env python3
"""Writes the vectors-*.tsv files: schedule expressions, instants, and the boundaries that follow them.

The boundaries come from a reference that is written after the grammar in docs/sql.md and shares nothing with honker:
it tries day after day and second after second until one matches, and asks Python's zoneinfo what the clocks showed.
It is slow and as plain as it can be. Random choices have fixed seeds, so that the same files come out again; clock
changes are all in the past, so that no later decision of a government changes an answer.

A line is `expression TAB from TAB boundary`, or `expression TAB from TAB !words [TAB !words ...]` where the expression
has to be refused with a message that contains the words. Lines that begin with `;` are comments.

    generate.py            writes the files again
    generate.py EXPR FROM  prints one boundary
"""

import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

UTC = ZoneInfo("UTC")
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()
# Name, least and greatest number, names. In days of the week 7 is a number too, and means 0.
COLUMNS = [
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    ("weekday", 0, 7, {name: number for number, name in enumerate(DAYS)}),
]
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
HORIZON_DAYS = 100 * 366


# The reference: reading.


def read_field(text, column):
    """The numbers that a field allows."""
    _, low, high, names = COLUMNS[column]
    is_weekday = column == 5

    def number(word):
        return names[word.upper()] if word.upper() in names else int(word)

    allowed = set()
    for item in text.split(","):
        base, _, step = item.partition("/")
        if base == "*":
            # Sunday is the first day and not also the eighth.
            first, last = low, 6 if is_weekday else high
        elif "-" in base:
            first, last = map(number, base.split("-"))
        else:
            # One number, whatever its step.
            first = last = number(base)
        assert low <= first <= last <= high, text
        for value in range(first, last + 1, int(step or 1)):
            allowed.add(value % 7 if is_weekday else value)
    return allowed


def read(expression, process_zone):
    """The zone, and the allowed numbers from seconds to days of the week."""
    words = expression.split()
    zone = process_zone
    if words[0].startswith(("CRON_TZ=", "TZ=")):
        zone = ZoneInfo(words.pop(0).partition("=")[2])
    if words[0] in MACROS:
        words = MACROS[words[0]].split()
    if len(words) == 5:
        words.insert(0, "0")
    assert len(words) == 6, expression
    return zone, [read_field(word, column) for column, word in enumerate(words)]


# The reference: looking at the clock.

cache = {}


def shown(zone, instant):
    """What a clock in that zone shows at an instant. Also before 1970, where fromtimestamp is not everywhere."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=instant)
    return moment.astimezone(zone).replace(tzinfo=None)


def instant_of(zone, wall):
    """When a clock first shows `wall`; if it never does, the first second at which it shows more."""
    key = (zone.key, wall)
    if key not in cache:
        moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        instant = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
        if shown(zone, instant) != wall:
            # A gap: the clock shows more by now. Back to the second at which it began to.
            assert shown(zone, instant) > wall, (zone, wall)
            while shown(zone, instant - 1) > wall:
                instant -= 1
        cache[key] = instant
    return cache[key]


def at(midnight, hour, minute, second):
    return midnight.replace(hour=hour, minute=minute, second=second)


def next_after(expression, start, process_zone=UTC):
    """The first boundary after the instant `start`; None if none comes within the horizon."""
    if expression.strip().startswith("@every"):
        text = expression.strip().removeprefix("@every").strip()
        return start + int(text[:-1]) * UNITS[text[-1]]
    zone, (seconds, minutes, hours, days, months, weekdays) = read(expression, process_zone)
    seconds, minutes, hours = sorted(seconds), sorted(minutes), sorted(hours)
    # Clocks have jumped by a day; two days before, everything was over.
    first = shown(zone, start).date() - timedelta(days=2)
    for offset in range(HORIZON_DAYS):
        day = first + timedelta(days=offset)
        if day.day not in days or day.month not in months or (day.weekday() + 1) % 7 not in weekdays:
            continue
        midnight = datetime(day.year, day.month, day.day)
        # A later reading is never reached earlier: if the last is over, all are.
        if instant_of(zone, at(midnight, hours[-1], minutes[-1], seconds[-1])) <= start:
            continue
        for hour in hours:
            if instant_of(zone, at(midnight, hour, minutes[-1], seconds[-1])) <= start:
                continue
            for minute in minutes:
                for second in seconds:
                    instant = instant_of(zone, at(midnight, hour, minute, second))
                    if instant > start:
                        return instant
    return None


# Expressions by chance.


def some_item(rng, column, narrow):
    _, low, high, names = COLUMNS[column]
    by_number = {number: name for name, number in names.items()}

    def written(number):
        if number in by_number and rng.random() < 0.4:
            name = by_number[number]
            return rng.choice([name, name.lower(), name.title()])
        return f"{number:02}" if rng.random() < 0.05 else str(number)

    if narrow:
        low, high = narrow
    a, b = sorted(rng.randint(low, high) for _ in range(2))
    step = rng.choice([1, 2, 3, 4, 5, 7, 9, 10, 15, 30, 100])
    return rng.choices(
        [
            written(a),
            f"{written(a)}-{written(b)}",
            f"{written(a)}-{written(b)}/{step}",
            f"*/{step}",
            f"{written(a)}/{step}",
        ],
        [6, 3, 3, 3, 1],
    )[0]


def some_expression(rng, open_share, narrow=None):
    """Random fields; `open_share` has the chance of `*` for each column, `narrow` limits of some columns."""
    words = []
    for column, share in enumerate(open_share):
        if rng.random() < share:
            words.append("*")
        else:
            items = rng.choices([1, 2, 3, 5], [6, 3, 2, 1])[0]
            words.append(",".join(some_item(rng, column, (narrow or {}).get(column)) for _ in range(items)))
    if rng.random() < 0.5:
        words.pop(0)
    return rng.choices([" ", "  "], [9, 1])[0].join(words)


def unix(text, zone=UTC):
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


class Vectors:
    """The lines of one file."""

    def __init__(self, name, about, process_zone=UTC):
        self.path = Path(__file__).with_name(f"vectors-{name}.tsv")
        self.lines = [f"; {about}", "; Written by generate.py."]
        self.zone = process_zone
        self.count = 0

    def add(self, expression, start):
        boundary = next_after(expression, start, self.zone)
        if boundary is None:
            self.refuse(expression, start, "no schedule match")
        else:
            self.line(expression, start, boundary)
        return boundary

    def walk(self, expression, start, steps):
        """Boundary after boundary."""
        for _ in range(steps):
            start = self.add(expression, start)
            if start is None:
                break

    def refuse(self, expression, start, *words):
        self.line(expression, start, *(f"!{word}" for word in words))

    def line(self, expression, start, *expected):
        assert "\t" not in expression and "\n" not in expression
        self.lines.append("\t".join([expression, str(start), *map(str, expected)]))
        self.count += 1

    def write(self):
        self.path.write_text("\n".join(self.lines) + "\n", encoding="utf-8")
        print(f"{self.path.name}: {self.count}")


# The files.


def basic():
    vectors = Vectors("basic", "The grammar in UTC: every form, over decades.")
    for expression in [
        "* * * * *",
        "* * * * * *",
        "0 * * * *",
        "*/5 * * * *",
        "0 0 * * *",
        "0 0 1 * *",
        "0 0 1 1 *",
        "5/15 * * * *",
        "*/7 1 * * *",
        "10-30/10 * * * *",
        "50-59/5,1-3,1-3,7 * * * *",
        "*,5 * * * *",
        "0 0 */10 * *",
        "0 0 1 */5 *",
        "0 0 1 jan,Feb,MAR *",
        "0 0 1 OCT-12 *",
        "0 0 * * MON-FRI",
        "0 0 * * MON-SAT/2",
        "0 0 * * 7",
        "0 0 * * 0",
        "0 0 * * 5-7",
        "0 0 * * FRI-7",
        "0 0 * * 1-7/2",
        "0 0 * * 0-7",
        "0 0 * * */2",
        "0 0 * * */3",
        "0 0 * * 7/2",
        "0 0 * * sun,7",
        "05 004 * * *",
        "*/100 * * * *",
        "59 59 23 31 12 *",
        "0 0 0 29 2 *",
        "0 0 29 2 MON",
        "0 12 13 * FRI",
        "0 0 31 * *",
        "0 0 31 */2 *",
        "0 0 30 4,6,9,11 *",
        "0 0 1-7 * MON",
        "*/20 59 23 28-31 * *",
        "30 0 0 1 1 SUN",
        *MACROS,
        " @weekly ",
        "  0 4 * * *  ",
    ]:
        for start in ("1999-12-31T23:59:59", "2024-02-28T12:34:56", "2023-11-14T22:13:20"):
            vectors.walk(expression, unix(start), 4)
    # Leap years: 2000 was one, 1900 and 2100 are none.
    for start in ("1896-03-01", "1971-06-01", "1996-02-29", "1999-01-01", "2019-12-31", "2095-01-01", "2096-02-29"):
        for expression in (
            "0 0 29 2 *",
            "59 59 23 29 FEB *",
            "0 12 29 2 SAT",
            "0 0 28,29 2 *",
            "0 0 */28 2 *",
            "0 0 1 3 *",
            "30 6 29-31 * *",
            "0 0 30 2 *",
        ):
            vectors.add(expression, unix(start))
    # The ends of years, months, days, hours and minutes, a second before, at, and after.
    for turn in (
        "1970-01-01",
        "1999-01-01",
        "2000-01-01",
        "2000-03-01",
        "2024-03-01",
        "2023-03-01",
        "2038-01-19",
        "2099-12-31",
        "2024-12-31",
    ):
        for expression in (
            "* * * * * *",
            "59 59 23 * * *",
            "0 0 0 * * *",
            "0 0 1 1 *",
            "@monthly",
            "@weekly",
            "*/13 */7 */5 * * *",
        ):
            for offset in (-61, -1, 0, 1):
                vectors.add(expression, unix(turn) + offset)
    # Day of month and day of week both have to match.
    rng = random.Random(1)
    for _ in range(150):
        expression = some_expression(rng, [0.5, 0.3, 0.3, 0, 0.6, 0])
        vectors.add(expression, rng.randint(unix("1960-01-01"), unix("2080-01-01")))
    rng = random.Random(2)
    for _ in range(900):
        expression = some_expression(rng, [0.3, 0.4, 0.5, 0.7, 0.7, 0.7])
        vectors.add(expression, rng.randint(unix("1950-01-01"), unix("2080-01-01")))
    rng = random.Random(3)
    for _ in range(60):
        expression = some_expression(rng, [0.2, 0.3, 0.3, 0.6, 0.8, 0.7])
        vectors.walk(expression, rng.randint(unix("1990-01-01"), unix("2060-01-01")), 6)
    vectors.write()


def every():
    vectors = Vectors("every", "@every: from the given instant on, in no zone.")
    rng = random.Random(4)
    for number, unit in [(1, "s"), (59, "s"), (90, "s"), (1, "m"), (5, "m"), (1, "h"), (25, "h"), (1, "d"), (366, "d")]:
        for spelling in (f"@every {number}{unit}", f"@every{number}{unit}", f" @every   {number:05}{unit} "):
            for start in (0, -1, 1700000000, unix("2024-03-31T00:59:59")):
                vectors.walk(spelling, start, 2)
    for _ in range(100):
        vectors.add(f"@every {rng.randint(1, 10**6)}{rng.choice('smhd')}", rng.randint(-(10**10), 10**10))
    vectors.write()


# A zone and the date of a change of its clocks.
CHANGES = [
    ("Europe/Berlin", "2024-03-31"),
    ("Europe/Berlin", "2024-10-27"),
    ("America/New_York", "2024-03-10"),
    ("America/New_York", "2024-11-03"),
    ("Europe/Dublin", "2023-03-26"),
    ("Europe/Dublin", "2023-10-29"),
    # By half an hour.
    ("Australia/Lord_Howe", "2023-10-01"),
    ("Australia/Lord_Howe", "2024-04-07"),
    ("Asia/Pyongyang", "2015-08-15"),
    ("Asia/Pyongyang", "2018-05-05"),
    ("America/Caracas", "2007-12-09"),
    ("America/Caracas", "2016-05-01"),
    # By a quarter of an hour, by an odd number of minutes, by two hours.
    ("Asia/Kathmandu", "1986-01-01"),
    ("Africa/Monrovia", "1972-01-07"),
    ("Antarctica/Troll", "2024-03-31"),
    ("Antarctica/Troll", "2024-10-27"),
    # At midnight, forwards: the day begins at one; and backwards: the evening before comes twice.
    ("America/Sao_Paulo", "2017-10-15"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("Asia/Beirut", "2022-03-27"),
    ("Africa/Cairo", "2023-04-28"),
    ("America/Havana", "2023-03-12"),
    ("America/Havana", "2023-11-05"),
    ("America/Asuncion", "2023-10-01"),
    ("America/Asuncion", "2024-03-24"),
    # A whole day that did not take place.
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-21"),
    # Outside the usual seasons, for good.
    ("Africa/Casablanca", "2023-03-19"),
    ("Africa/Casablanca", "2023-04-23"),
    ("Europe/Istanbul", "2016-03-27"),
    ("Europe/Volgograd", "2020-12-27"),
]


# Seconds from a change.
NEAR = [-7200, -3601, -3600, -1800, -61, -2, -1, 0, 1, 59, 1799, 1800, 3599, 3600, 7200]


def change_near(zone, date):
    """The second at which the clocks were changed, around that date."""
    start = unix(date) - 30 * 3600
    for instant in range(start, start + 60 * 3600):
        here, before = (
            datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(zone)).utcoffset()
            for second in (instant, instant - 1)
        )
        if here != before:
            return instant
    raise ValueError(f"{zone} did not change its clocks around {date}")


def zones():
    vectors = Vectors("zones", "CRON_TZ= where clocks are changed, and elsewhere.")
    rng = random.Random(5)
    for zone, date in CHANGES:
        change = change_near(zone, date)
        # What the clock showed just before, for expressions that fall into the gap or the repeated time.
        wall = shown(ZoneInfo(zone), change - 1)
        later = shown(ZoneInfo(zone), change)
        for expression in [
            "* * * * * *",
            "0 * * * *",
            "*/10 * * * *",
            "30 * * * * *",
            "@hourly",
            "@daily",
            "30 0 * * *",
            "30 1 * * *",
            "30 2 * * *",
            "15 3 * * *",
            "45 23 * * *",
            "59 59 * * * *",
            f"0 {wall.hour} * * *",
            f"0 {later.hour} * * *",
            f"{rng.randint(0, 59)} {wall.hour},{later.hour} * * *",
            f"{wall.minute} {wall.hour} {wall.day} {wall.month} *",
            f"0 12 {wall.day} {wall.month} *",
            f"0 12 {(wall + timedelta(days=1)).day} {(wall + timedelta(days=1)).month} *",
        ]:
            expression = f"CRON_TZ={zone} {expression}"
            for offset in rng.sample(NEAR, 2):
                vectors.add(expression, change + offset)
        for _ in range(20):
            hours = sorted({wall.hour, later.hour, (later.hour + 1) % 24})
            expression = some_expression(rng, [0.4, 0.4, 0.4, 0.9, 0.9, 0.8], {2: (hours[0], min(23, hours[0] + 3))})
            prefix = rng.choice(["CRON_TZ=", "TZ="]) + zone + rng.choice([" ", "   "])
            start = change + rng.randint(-3 * 3600, 3 * 3600)
            vectors.walk(prefix + expression, start, rng.choice([1, 1, 2, 4]))
        vectors.walk(f"CRON_TZ={zone} {wall.minute} {wall.hour} * * *", change - 86400 * 2, 4)
    # Far from any change, zones without any, and each for decades.
    names = sorted({zone for zone, _ in CHANGES}) + [
        "Asia/Tokyo",
        "Asia/Kolkata",
        "Africa/Nairobi",
        "Etc/GMT+12",
        "Pacific/Kiritimati",
        "America/Phoenix",
        "Australia/Adelaide",
    ]
    for _ in range(300):
        expression = some_expression(rng, [0.2, 0.3, 0.3, 0.6, 0.7, 0.7])
        vectors.add(f"CRON_TZ={rng.choice(names)} {expression}", rng.randint(unix("1975-01-01"), unix("2023-01-01")))
    vectors.write()


def process_zone():
    zone = ZoneInfo("America/New_York")
    vectors = Vectors("new-york", "For a process whose zone is America/New_York.", zone)
    rng = random.Random(6)
    for year_ends in ("2019-12-31T23:59:59", "2020-02-28T20:00:00", "2023-07-04T00:00:00"):
        for expression in (
            "* * * * *",
            "@daily",
            "@weekly",
            "@monthly",
            "@yearly",
            "0 0 29 2 *",
            "30 2 * * *",
            "30 1 * * *",
        ):
            vectors.walk(expression, unix(year_ends, zone), 3)
    for year in range(1975, 2024):
        start = rng.randint(unix(f"{year}-01-01"), unix(f"{year}-12-31"))
        for _ in range(5):
            vectors.add(some_expression(rng, [0.3, 0.4, 0.4, 0.7, 0.7, 0.7]), start)
    for date in ("2022-03-13", "2022-11-06", "1974-01-06", "1987-04-05"):
        change = change_near("America/New_York", date)
        for offset in (-3600, -1, 0, 1, 1799, 3600):
            for expression in ("* * * * * *", "0 * * * *", "30 2 * * *", "30 1 * * *", "*/17 1-3 * * *", "0 0 3 * * *"):
                vectors.add(expression, change + offset)
    vectors.write()


def refused():
    vectors = Vectors("refused", "What no expression may contain, and the words that say so.")
    rng = random.Random(7)
    for _ in range(60):
        for column, (_, low, high, _) in enumerate(COLUMNS):
            words = some_expression(rng, [0.5] * 6).split()
            if len(words) == 5:
                words.insert(0, "0")
            beyond = rng.choice([high + 1, high + rng.randint(2, 300), 10 ** rng.randint(3, 25)])
            inside = rng.randint(low + 1, high)
            item, expected = rng.choice(
                [
                    (f"{beyond}", ["out of range", str(beyond)]),
                    (f"{low}-{beyond}", ["out of range", f"{low}-{beyond}"]),
                    (f"{inside}-{low}", ["or inverted", f"{inside}-{low}"]),
                    (f"{inside}/0", ["must be positive"]),
                    ("*/0", ["must be positive"]),
                    (f"{low}-{high}/00", ["must be positive"]),
                    (f"x{inside}", ["not an integer", f"x{inside}"]),
                    (f"{inside}.0", ["not an integer", f"{inside}.0"]),
                    (f"{inside}/q", ["not an integer", "q"]),
                    ("", ["not an integer"]),
                    (rng.choice(["?", "L", "W", "1W", "2#1", "JANUARY", "MO"]), ["not an integer"]),
                ]
            )
            items = words[column].split(",")
            items.insert(rng.randint(0, len(items)), item)
            words[column] = ",".join(items)
            vectors.refuse(" ".join(words), 1700000000, *expected)
    for count in (1, 2, 3, 4, 7, 8, 20):
        for prefix in ("", "CRON_TZ=Europe/Berlin "):
            vectors.refuse(prefix + " ".join(["1"] * count), 0, "5 or 6 cron fields")
    for interval in (
        "",
        "s",
        "5",
        "0s",
        "00h",
        "-1s",
        "+1s",
        "1.5h",
        "5ms",
        "1w",
        "1y",
        "5 s",
        "1h30m",
        "1S",
        "9e9s",
        "9223372036854775808s",
        "153722867280912931m",
        "2562047788015216h",
        "106751991167301d",
    ):
        vectors.refuse(f"@every {interval}", 0, "interval")
    for expression in (
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "59 59 23 30,31 FEB MON",
        "0 0 31 SEP,nov 0-7",
        "CRON_TZ=Asia/Tokyo 0 0 30 2 *",
    ):
        for start in (0, 1700000000, unix("2096-02-29"), unix("1950-01-01")):
            assert next_after(expression, start) is None
            vectors.refuse(expression, start, "no schedule match")
    vectors.write()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(next_after(sys.argv[1], int(sys.argv[2])))
    else:
        basic()
        every()
        zones()
        process_zone()
        refused()
