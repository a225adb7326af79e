//! Texts from the file on their way to people: nothing in a payload may move the cursor or change colours.

use honker_core::queue::name_and_instance;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text on one line: control characters, and those that change the direction of writing, are shown as escapes.
pub fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_harmful(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// As [`one_line`], but lines stay lines.
pub fn lines(text: &str) -> String {
    text.split('\n').map(one_line).collect::<Vec<_>>().join("\n")
}

fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The name of a worker without the 32 digits that tell its process from others of that name.
pub fn worker(id: &str) -> &str {
    name_and_instance(id).map_or(id, |(name, _)| name)
}

/// How many columns of a terminal it takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// At most so many columns of it; what was cut off is an ellipsis.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut cut, mut taken) = (String::new(), 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if taken + wide >= columns {
            break;
        }
        taken += wide;
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// A JSON text with line breaks and indentation; as it is if it is none.
pub fn pretty(json: &str) -> String {
    // Through a deserializer that keeps the order of keys and the digits of numbers there would be more to do: what is
    // shown is what `serde_json` reads, unless it would show another number.
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(value) if serde_json::to_string(&value).is_ok_and(|text| same_characters(&text, json)) => {
            serde_json::to_string_pretty(&value).unwrap_or_else(|_| json.to_owned())
        }
        _ => json.to_owned(),
    }
}

/// Whether both have the same characters but for white space, in any order: no digit is lost.
fn same_characters(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut characters: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        characters.sort_unstable();
        characters
    };
    sorted(one) == sorted(other)
}
