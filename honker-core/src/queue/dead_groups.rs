//! The dead, counted by why they died.
//!
//! What differs from job to job in an error, numbers and ids, is made equal, so that one failure is one group. It reads all
//! dead jobs of the queue: for people, not for hot paths.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::DeadJob;
use super::dead::dead_job;
use crate::statement::{Sql, Value};
use crate::{Result, Store};

/// So many groups are answered, the largest ones.
const GROUPS_MAX: usize = 1_000;

/// Dead jobs that died of the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadGroup {
    /// What their errors have in common: `#` stands for a number or an id. `None`: they have no error.
    pub error: Option<String>,
    /// How many they are.
    pub count: i64,
    /// The one that died last.
    pub newest: DeadJob,
}

static SQL_ERRORS: Sql = Sql::new("SELECT id, died_at, last_error FROM main._honker_dead WHERE queue = +?1");

static SQL_ERRORS_ANY: Sql = Sql::new("SELECT id, died_at, last_error FROM main._honker_dead");

/// A group of which no job has been read yet.
#[derive(Default)]
struct Counted {
    count: i64,
    /// When the newest died, and its id.
    newest: Option<(i64, i64)>,
}

/// The dead of one queue, or of all, by what they died of, the largest group first; at most 1,000 groups.
pub fn dead_groups(store: &Store, queue: Option<&str>) -> Result<Vec<DeadGroup>> {
    let mut groups: HashMap<Option<String>, Counted> = HashMap::new();
    let each = |row: &crate::statement::Row<'_>| {
        let group = groups.entry(row.optional_text(2).as_deref().map(error_pattern)).or_default();
        group.count += 1;
        group.newest = group.newest.max(Some((row.integer(1), row.integer(0))));
    };
    match queue {
        Some(_) => store.query(&SQL_ERRORS, &[Value::from(queue)], each)?,
        None => store.query(&SQL_ERRORS_ANY, &[], each)?,
    };
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_unstable_by_key(|(_, group)| Reverse((group.count, group.newest)));
    groups.truncate(GROUPS_MAX);
    let mut answer = Vec::with_capacity(groups.len());
    for (error, Counted { count, newest }) in groups {
        // Another commit may have taken it away meanwhile, where the caller has no transaction open.
        if let Some((_, id)) = newest
            && let Some(newest) = dead_job(store, id)?
        {
            answer.push(DeadGroup { error, count, newest });
        }
    }
    Ok(answer)
}

/// An error without what differs from job to job: what it shares with those of its group ([`DeadGroup::error`]). That of a group is its own.
pub fn error_pattern(error: &str) -> String {
    let mut pattern = String::with_capacity(error.len());
    let mut rest = error;
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_alphanumeric() {
            pattern.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        if is_uuid(rest) {
            pattern.push('#');
            rest = &rest[UUID_LENGTH..];
            continue;
        }
        let word = &rest[..run(rest, |byte| byte.is_ascii_alphanumeric())];
        if is_id(word) {
            pattern.push('#');
            rest = &rest[word.len()..];
        } else if first.is_ascii_digit() {
            pattern.push('#');
            rest = &rest[number(rest)..];
        } else {
            let letters = run(rest, |byte| byte.is_ascii_alphabetic());
            pattern.push_str(&rest[..letters]);
            rest = &rest[letters..];
        }
    }
    pattern
}

fn run(text: &str, is: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is(*byte)).count()
}

/// The length of a number with points in it, but none at its end.
fn number(text: &str) -> usize {
    let mut length = run(text, |byte| byte.is_ascii_digit());
    while text[length..].starts_with('.') {
        match run(&text[length + 1..], |byte| byte.is_ascii_digit()) {
            0 => break,
            digits => length += 1 + digits,
        }
    }
    length
}

const UUID_LENGTH: usize = 36;

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_part = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    bytes.len() >= UUID_LENGTH && bytes[..UUID_LENGTH].iter().enumerate().all(is_part)
}

/// A hash or an address in hexadecimal, or a long word of letters and digits.
fn is_id(word: &str) -> bool {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    has_digit
        && has_letter
        && (word.len() >= 7 && is_hex(word)
            || word.len() >= 16
            || word.strip_prefix("0x").is_some_and(is_hex))
}

#[cfg(test)]
mod tests {
    use super::error_pattern;

    #[test]
    fn numbers_and_ids_are_made_equal() {
        for (error, expected) in [
            ("", ""),
            ("expired", "expired"),
            ("timeout after 30 s", "timeout after # s"),
            ("timeout after 1.5 s.", "timeout after # s."),
            ("10.0.0.1:8080 refused", "#:# refused"),
            ("user42 has no row 7", "user# has no row #"),
            ("order 7f3c1b9e-3a52-4b1f-9d53-0a6f5f0e9c11 not found", "order # not found"),
            ("commit a1b2c3d, at 0x7ffe, key 01ARZ3NDEKTSV4RRFFQ69G5FAV", "commit #, at #, key #"),
            ("a deadbeef is no number, but added decade", "a deadbeef is no number, but added decade"),
            ("é7ß 日本1", "é#ß 日本#"),
            ("7f3c1b9e-3a52-4b1f-9d53-0a6f5f0e9c1é", "#-#a#-#b#f-#d#-#é"),
            ("1.", "#."),
        ] {
            assert_eq!(error_pattern(error), expected, "{error}");
        }
    }
}
