//! Random expressions against a reference that only watches a clock.

use super::*;

/// SplitMix64: the same sequence on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }
}

/// The text of an expression and, made along with it, what each of its fields allows.
struct Sample {
    text: String,
    allowed: [[bool; 60]; 6],
}

impl Sample {
    fn new(random: &mut Random) -> Sample {
        let mut sample = Sample { text: String::new(), allowed: [[false; 60]; 6] };
        // Hours are drawn from where clocks are changed; dates are mostly left open.
        let columns = [(0, 59, 30), (0, 59, 40), (0, 23, 50), (1, 31, 80), (1, 12, 85), (0, 6, 80)];
        for (column, (low, high, open)) in columns.into_iter().enumerate() {
            if random.below(100) < open {
                sample.add_item(column, "*".into(), (low..=high).collect());
            } else {
                let narrow = if column == 2 { 4 } else { high };
                for _ in 0..=random.below(3) {
                    let (a, b, step) =
                        (random.between(low, narrow), random.between(low, narrow), random.between(1, 9));
                    let (a, b) = (a.min(b), a.max(b));
                    match random.below(4) {
                        0 => sample.add_item(column, format!("{a}"), vec![a]),
                        1 => sample.add_item(column, format!("{a}-{b}"), (a..=b).collect()),
                        2 => {
                            let values = (a..=b).filter(|value| (value - a) % step == 0).collect();
                            sample.add_item(column, format!("{a}-{b}/{step}"), values);
                        }
                        _ => {
                            let values = (low..=high).filter(|value| (value - low) % step == 0).collect();
                            sample.add_item(column, format!("*/{step}"), values);
                        }
                    }
                }
            }
            sample.text.push(' ');
        }
        sample
    }

    fn add_item(&mut self, column: usize, item: String, values: Vec<i64>) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(',');
        }
        self.text.push_str(&item);
        values.into_iter().for_each(|value| self.allowed[column][value as usize] = true);
    }

    fn matches(&self, fields: &[usize; 6]) -> bool {
        (0..6).all(|column| self.allowed[column][fields[column]])
    }
}

fn fields(reading: DateTime) -> [usize; 6] {
    let numbers = [
        reading.second(),
        reading.minute(),
        reading.hour(),
        reading.day(),
        reading.month(),
        reading.weekday().to_sunday_zero_offset(),
    ];
    numbers.map(|number| number as usize)
}

/// For each second from `start` on, the readings that the clock then shows or has just jumped over, and that it had
/// not reached before.
fn watch_clock(zone: &TimeZone, start: i64, seconds: i64) -> Vec<Vec<[usize; 6]>> {
    let show = |instant| zone.to_datetime(Timestamp::from_second(instant).unwrap());
    let mut reached = show(start);
    (start + 1..=start + seconds)
        .map(|instant| {
            let mut news = Vec::new();
            while reached < show(instant) {
                reached = reached.checked_add(1.second()).unwrap();
                news.push(fields(reached));
            }
            news
        })
        .collect()
}

#[test]
fn agrees_around_clock_changes() {
    let mut random = Random(20_260_308);
    for (zone_name, shortly_before) in [
        ("Europe/Berlin", "2026-03-01T00:00:00Z"),
        ("Europe/Berlin", "2026-10-01T00:00:00Z"),
        ("America/New_York", "2026-03-01T00:00:00Z"),
        ("America/New_York", "2026-10-01T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-01T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-01T00:00:00Z"),
        ("Pacific/Apia", "2011-12-01T00:00:00Z"),
        ("Pacific/Apia", "2021-04-01T00:00:00Z"),
        // At midnight; by a quarter, half and an odd part of an hour; for good; by more than an hour.
        ("America/Havana", "2026-10-25T00:00:00Z"),
        ("America/Sao_Paulo", "2017-10-01T00:00:00Z"),
        ("Asia/Kathmandu", "1985-12-01T00:00:00Z"),
        ("Asia/Pyongyang", "2015-08-01T00:00:00Z"),
        ("Africa/Monrovia", "1972-01-01T00:00:00Z"),
        ("Antarctica/Troll", "2026-03-01T00:00:00Z"),
        ("Antarctica/Troll", "2026-10-01T00:00:00Z"),
    ] {
        let zone = TimeZone::get(zone_name).unwrap();
        let before: Timestamp = shortly_before.parse().unwrap();
        let change = zone.following(before).next().unwrap().timestamp().as_second();
        // Longer before the change than any clock here is set back, so that no reading was reached earlier still.
        let (start, seconds) = (change - 3 * 3600, 7 * 3600);
        let clock = watch_clock(&zone, start, seconds);
        for _ in 0..40 {
            let sample = Sample::new(&mut random);
            let text = format!("CRON_TZ={zone_name} {}", sample.text);
            let boundaries: Vec<i64> = (start + 1..)
                .zip(&clock)
                .filter(|(_, news)| news.iter().any(|fields| sample.matches(fields)))
                .map(|(instant, _)| instant)
                .collect();
            let expression = parse(&text);
            let near =
                (-2..=2).flat_map(|s| [change + s, change - 1800 + s, change + 1800 + s, change + 3600 + s]);
            let anywhere: Vec<i64> = (0..40).map(|_| random.between(start, start + seconds)).collect();
            let walked = boundaries.iter().copied().take(100);
            for from in near.chain(anywhere).chain(walked) {
                let expected = boundaries.iter().find(|boundary| **boundary > from);
                match (expression.next_after(from), expected) {
                    (Ok(next), Some(expected)) => assert_eq!(next, *expected, "'{text}' after {from}"),
                    (Ok(next), None) => assert!(next > start + seconds, "'{text}' after {from}: {next}"),
                    (Err(why), Some(_)) => panic!("'{text}' after {from}: {why}"),
                    (Err(why), None) => assert!(why.to_string().contains("no schedule match"), "{why}"),
                }
            }
        }
    }
}

#[test]
fn agrees_over_decades() {
    let mut random = Random(20_000_229);
    for _ in 0..150 {
        let sample = Sample::new(&mut random);
        let from = random.between(unix("1960-01-01T00:00:00Z"), unix("2090-01-01T00:00:00Z"));
        // Day by day, and second by second within a day whose date matches.
        let expected = (from.div_euclid(86_400)..).take(41 * 366).find_map(|day| {
            let date = TimeZone::UTC.to_datetime(Timestamp::from_second(day * 86_400).unwrap());
            let mut fields = fields(date);
            if !(3..6).all(|column| sample.allowed[column][fields[column]]) {
                return None;
            }
            (0..86_400usize).find_map(|second| {
                (fields[0], fields[1], fields[2]) = (second % 60, second / 60 % 60, second / 3600);
                let instant = day * 86_400 + second as i64;
                (instant > from && sample.matches(&fields)).then_some(instant)
            })
        });
        let next = parse(&format!("CRON_TZ=UTC {}", sample.text)).next_after(from);
        assert_eq!(next.ok(), expected, "'{}' after {from}", sample.text);
    }
}
