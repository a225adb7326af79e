//! The placeholders of the caller's own SQL: `?` and `?N`, as on a file, become `$N`.
//!
//! Outside of texts, quoted names, comments and dollar quotes, that is; `??` stands for the operator `?`. A bare `?` is the one
//! after the largest so far, as SQLite counts. `$N` stays what it is.
//!
//! A parameter that the statement does not name has no type, and Postgres refuses the statement for that; SQLite passes over it.
//! So those that are named are numbered anew, without gaps.

use std::collections::BTreeSet;

/// A statement as Postgres takes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) sql: String,
    /// Where there are gaps between the numbers that the caller has used: these, the first of which is now `$1`.
    pub(crate) used: Option<BTreeSet<usize>>,
}

/// The statement as Postgres takes it, with so many parameters. Without any, its `$N` are not ours: a function that it creates may have them.
pub(crate) fn numbered(sql: &str, parameters: usize) -> Numbered {
    let mut used = BTreeSet::new();
    let text = renumbered(sql, |number| {
        used.insert(number);
        number
    });
    // There is no parameter 0; the server says so.
    if parameters == 0 || used.iter().eq(&(1..=used.len()).collect::<Vec<_>>()) || used.contains(&0) {
        return Numbered { sql: text, used: None };
    }
    let text = renumbered(sql, |number| used.range(..=number).count());
    Numbered { sql: text, used: Some(used) }
}

/// The statement, each of its parameters with the number that `of` makes of its own.
fn renumbered(sql: &str, mut of: impl FnMut(usize) -> usize) -> String {
    let mut out = String::with_capacity(sql.len() + 8);
    let bytes = sql.as_bytes();
    let (mut at, mut largest) = (0, 0_usize);
    let digits_from = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    while at < bytes.len() {
        let end = match bytes[at] {
            b'?' if bytes[at..].starts_with(b"??") => {
                out.push('?');
                at += 2;
                continue;
            }
            b'?' => {
                let digits = digits_from(at + 1);
                let given = &sql[at + 1..at + 1 + digits];
                out.push('$');
                let number = if given.is_empty() { Ok(largest.saturating_add(1)) } else { given.parse() };
                match number {
                    Ok(number) => {
                        largest = largest.max(number);
                        out.push_str(&of(number).to_string());
                    }
                    // Too large for any parameter; the server says so.
                    Err(_) => out.push_str(given),
                }
                at += 1 + digits;
                continue;
            }
            b'$' if digits_from(at + 1) > 0 && (at == 0 || !is_word(bytes[at - 1])) => {
                let digits = digits_from(at + 1);
                out.push('$');
                match sql[at + 1..at + 1 + digits].parse() {
                    Ok(number) => out.push_str(&of(number).to_string()),
                    Err(_) => out.push_str(&sql[at + 1..at + 1 + digits]),
                }
                at += 1 + digits;
                continue;
            }
            _ => part(bytes, at),
        };
        // Only ASCII is looked for, so these are ends of characters, or lie within one that is copied in parts.
        out.push_str(sql.get(at..end).unwrap_or_default());
        if sql.get(at..end).is_none() {
            let mut whole = end;
            while !sql.is_char_boundary(whole) {
                whole += 1;
            }
            out.push_str(&sql[at..whole]);
            at = whole;
            continue;
        }
        at = end;
    }
    out
}

/// The first word of a statement, in lower case, and the one behind it.
pub(crate) fn first_words(sql: &str) -> (String, String) {
    let bytes = sql.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() && words.len() < 2 {
        at = match bytes[at] {
            b'-' if bytes[at..].starts_with(b"--") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => comment(bytes, at),
            byte if byte.is_ascii_whitespace() || byte == b';' => at + 1,
            byte if is_word(byte) => {
                let length = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
                words.push(String::from_utf8_lossy(&bytes[at..at + length]).to_ascii_lowercase());
                at + length
            }
            _ => break,
        };
    }
    let mut words = words.into_iter();
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// Whether another statement follows the first.
pub(crate) fn are_several(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b';' && !is_blank(sql.get(at..).unwrap_or_default()) {
            // The body of a function may have some of its own: BEGIN ATOMIC … END.
            return !sql.to_ascii_lowercase().contains("atomic");
        }
        at = part(bytes, at);
    }
    false
}

/// Where what begins at `at` ends: a text, a quoted name, a comment, or one character.
fn part(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        b'\'' => {
            let escapes =
                at > 0 && matches!(bytes[at - 1], b'e' | b'E') && (at == 1 || !is_word(bytes[at - 2]));
            quoted(bytes, at, b'\'', escapes)
        }
        b'"' => quoted(bytes, at, b'"', false),
        b'-' if bytes[at..].starts_with(b"--") => line_end(bytes, at),
        b'/' if bytes[at..].starts_with(b"/*") => comment(bytes, at),
        b'$' if at == 0 || !is_word(bytes[at - 1]) => dollar_quoted(bytes, at).unwrap_or(at + 1),
        _ => at + 1,
    }
}

/// Whether there is no statement: only white space, comments and semicolons.
pub(crate) fn is_blank(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at = match bytes[at] {
            b'-' if bytes[at..].starts_with(b"--") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => comment(bytes, at),
            byte if byte.is_ascii_whitespace() || byte == b';' => at + 1,
            _ => return false,
        };
    }
    true
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where a text or a name ends that begins at `at`.
fn quoted(bytes: &[u8], at: usize, quote: u8, escapes: bool) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            // Doubled, it is a part of it.
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the comment ends that begins with two hyphens.
fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r'))
        .map_or(bytes.len(), |length| at + length)
}

fn comment(bytes: &[u8], at: usize) -> usize {
    let (mut at, mut depth) = (at + 2, 1);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// Where a dollar quote ends, if one begins here.
fn dollar_quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let tag = bytes[at + 1..].iter().take_while(|byte| is_word(**byte)).count();
    let end = at + 1 + tag;
    if bytes.get(end) != Some(&b'$') || bytes[at + 1].is_ascii_digit() {
        return None;
    }
    let opening = &bytes[at..=end];
    let inside = &bytes[end + 1..];
    let length = inside.windows(opening.len()).position(|window| window == opening);
    Some(length.map_or(bytes.len(), |length| end + 1 + length + opening.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_numbers() {
        for (given, wanted) in [
            ("SELECT ?, ?", "SELECT $1, $2"),
            ("SELECT ?2, ?1, ?", "SELECT $2, $1, $3"),
            ("SELECT $1, $2", "SELECT $1, $2"),
            ("SELECT a ?? 'k', ?", "SELECT a ? 'k', $1"),
            ("SELECT '?', \"?\", ?", "SELECT '?', \"?\", $1"),
            ("SELECT 'it''s ?', ?", "SELECT 'it''s ?', $1"),
            (r"SELECT E'\'?', ?", r"SELECT E'\'?', $1"),
            (r"SELECT E'it''s \'?', ?", r"SELECT E'it''s \'?', $1"),
            (r"SELECT '\', ?", r"SELECT '\', $1"),
            (r"SELECT type'\', ?", r"SELECT type'\', $1"),
            ("SELECT 1 -- ?\n, ?", "SELECT 1 -- ?\n, $1"),
            ("SELECT 1 -- ?\r, ?", "SELECT 1 -- ?\r, $1"),
            ("SELECT 1 /* ? /* ? */ ? */, ?", "SELECT 1 /* ? /* ? */ ? */, $1"),
            ("SELECT $$ ? $$, $a$ ? $$ ? $a$, ?", "SELECT $$ ? $$, $a$ ? $$ ? $a$, $1"),
            ("SELECT x$1$ ?", "SELECT x$1$ $1"),
            ("SELECT 'ä?', 'é', ?, ä", "SELECT 'ä?', 'é', $1, ä"),
            ("SELECT 'open ?", "SELECT 'open ?"),
            ("SELECT $open ?", "SELECT $open $1"),
            ("", ""),
        ] {
            assert_eq!(numbered(given, 9), Numbered { sql: wanted.to_owned(), used: None }, "{given}");
        }
    }

    #[test]
    fn gaps_between_numbers_are_closed() {
        for (given, wanted, used) in [
            ("SELECT ?2", "SELECT $1", &[2][..]),
            ("SELECT ?5, ?, ?5", "SELECT $1, $2, $1", &[5, 6]),
            ("SELECT ?9, '?1', ?3 -- ?2", "SELECT $2, '?1', $1 -- ?2", &[3, 9]),
            ("SELECT $3, ?1", "SELECT $2, $1", &[1, 3]),
            ("SELECT $3, x$1, $a$ $1 $a$", "SELECT $1, x$1, $a$ $1 $a$", &[3]),
        ] {
            let used = Some(used.iter().copied().collect());
            assert_eq!(numbered(given, 9), Numbered { sql: wanted.to_owned(), used }, "{given}");
        }
        for (given, wanted, parameters) in [
            ("SELECT ?0, ?2", "SELECT $0, $2", 9),
            ("SELECT $99999999999999999999", "SELECT $99999999999999999999", 9),
            ("SELECT ?, ?99999999999999999999, ?", "SELECT $1, $99999999999999999999, $2", 9),
            (
                "CREATE FUNCTION f(int, int) RETURNS int RETURN $2",
                "CREATE FUNCTION f(int, int) RETURNS int RETURN $2",
                0,
            ),
        ] {
            assert_eq!(
                numbered(given, parameters),
                Numbered { sql: wanted.to_owned(), used: None },
                "{given}"
            );
        }
    }

    #[test]
    fn statements_are_told_apart() {
        for one in [
            "SELECT 1",
            "SELECT 1; -- ; ;",
            "SELECT ';', \";\", $$;$$ /* ; */;",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
            "DO $$ BEGIN PERFORM 1; END $$",
        ] {
            assert!(!are_several(one), "{one}");
        }
        for two in [
            "SELECT 1; SELECT 2",
            "DELETE FROM a;DELETE FROM b;",
            "SELECT ';' ; x",
            "SELECT 1; -- a\rSELECT 2",
        ] {
            assert!(are_several(two), "{two}");
        }
    }

    #[test]
    fn words_begin_behind_comments() {
        let words = |sql| {
            let (first, second) = first_words(sql);
            format!("{first} {second}")
        };
        assert_eq!(words("/* a */ -- b\n ;COMMIT and chain"), "commit and");
        assert_eq!(words("-- a\rcommit"), "commit ");
        assert_eq!(words("rollback to x"), "rollback to");
        assert_eq!(words("(SELECT 1)"), " ");
    }
}
