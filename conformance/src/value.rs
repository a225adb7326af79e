//! The values in a case that are known only when it runs: `$job`, `$now+60`, `"$dir/x.db"`, `{$repeat: ["x", 5]}`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// What the names in a case stand for at one moment.
#[derive(Clone)]
pub struct Scope {
    pub saved: BTreeMap<String, Value>,
    /// The second on the suite's clock.
    pub now: i64,
    /// The turn of `times`.
    pub turn: Option<u64>,
    pub dir: PathBuf,
    /// What stands for the database: a path in `dir`, or a URL.
    pub address: String,
}

/// The database that the actors of a case open.
pub const FILE: &str = "app.db";

/// Names that are no one's to save.
pub const RESERVED: [&str; 4] = ["now", "i", "dir", "file"];

/// A text that stands for something else.
enum Reference<'a> {
    /// `$job`, `$now-1`.
    Name(&'a str, i64),
    /// The text with `$dir` and `$file` in it.
    Path,
    /// `$$...`: without the first dollar.
    Escaped(&'a str),
    /// Nothing but itself.
    Plain,
}

fn reference(text: &str) -> Result<Reference<'_>, String> {
    if let Some(rest) = text.strip_prefix("$$") {
        return Ok(Reference::Escaped(&text[text.len() - rest.len() - 1..]));
    }
    if has_path(text) {
        return Ok(Reference::Path);
    }
    let Some(rest) = text.strip_prefix('$') else {
        return Ok(Reference::Plain);
    };
    let end = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
    let (name, offset) = rest.split_at(end);
    let offset = if offset.is_empty() { Ok(0) } else { offset.parse() };
    match offset {
        Ok(offset) if !name.is_empty() => Ok(Reference::Name(name, offset)),
        _ => Err(format!("{text} is no name of anything; a text that begins with a dollar begins with two")),
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn has_path(text: &str) -> bool {
    ["$dir", "$file"]
        .iter()
        .any(|name| text.match_indices(name).any(|(at, _)| !text[at + name.len()..].starts_with(is_of_name)))
}

/// Whether this is known only when the case runs.
pub fn is_pending(value: &Value) -> bool {
    match value {
        Value::String(text) => !matches!(reference(text), Ok(Reference::Plain)),
        Value::Object(fields) => fields.contains_key("$repeat"),
        _ => false,
    }
}

/// The `$name`s in a value, as written, and the keys that begin with a dollar.
pub fn survey(value: &Value, names: &mut Vec<String>, keys: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::String(text) => {
            if let Reference::Name(name, _) = reference(text)? {
                names.push(name.to_owned());
            }
        }
        Value::Array(items) => {
            for item in items {
                survey(item, names, keys)?;
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                keys.extend(key.starts_with('$').then(|| key.clone()));
                // What is saved is a name of its own, what is a regular expression may end in a dollar.
                if key != "$save" && key != "$re" {
                    survey(value, names, keys)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

impl Scope {
    /// The value with all names replaced by what they stand for.
    pub fn resolve(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::String(text) => self.resolve_text(text),
            Value::Array(items) => items.iter().map(|item| self.resolve(item)).collect(),
            Value::Object(fields) => match fields.get("$repeat") {
                Some(repeat) => self.repeat(repeat),
                None => Ok(Value::Object(self.resolve_fields(fields)?)),
            },
            other => Ok(other.clone()),
        }
    }

    pub fn resolve_fields(&self, fields: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        fields.iter().map(|(key, value)| Ok((key.clone(), self.resolve(value)?))).collect()
    }

    pub fn resolve_text(&self, text: &str) -> Result<Value, String> {
        Ok(match reference(text)? {
            Reference::Plain => Value::from(text),
            Reference::Escaped(rest) => Value::from(rest),
            Reference::Path => Value::from(self.with_path(text)),
            Reference::Name(name, offset) => {
                let value = self.named(name)?;
                if offset == 0 {
                    return Ok(value);
                }
                let number =
                    value.as_i64().ok_or_else(|| format!("{text}: ${name} is {value}, no integer"))?;
                Value::from(number + offset)
            }
        })
    }

    /// A number that may be written as a name.
    pub fn number(&self, value: &Value) -> Result<i64, String> {
        let value = self.resolve(value)?;
        value.as_i64().ok_or_else(|| format!("{value} is no integer"))
    }

    fn named(&self, name: &str) -> Result<Value, String> {
        match name {
            "now" => Ok(Value::from(self.now)),
            "i" => {
                self.turn.map(Value::from).ok_or_else(|| "$i is known only to a step with `times`".to_owned())
            }
            _ => self.saved.get(name).cloned().ok_or_else(|| format!("nothing has been saved as ${name}")),
        }
    }

    fn with_path(&self, text: &str) -> String {
        let dir = self.dir.display().to_string();
        text.replace("$file", &self.address).replace("$dir", &dir)
    }

    fn repeat(&self, repeat: &Value) -> Result<Value, String> {
        let parts = repeat.as_array().filter(|parts| parts.len() == 2);
        let parts = parts.and_then(|parts| Some((parts[0].as_str()?, parts[1].as_u64()?)));
        let (text, times) = parts.ok_or_else(|| format!("$repeat: {repeat} is not a text and a number"))?;
        Ok(Value::from(text.repeat(usize::try_from(times).map_err(|error| error.to_string())?)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        let saved = [("job".to_owned(), json!(7)), ("jobs".to_owned(), json!([1]))].into();
        Scope {
            saved,
            now: 1000,
            turn: Some(3),
            dir: PathBuf::from("/case"),
            address: "/case/app.db".to_owned(),
        }
    }

    #[test]
    fn names_stand_for_what_was_saved() {
        let scope = scope();
        for (given, expected) in [
            (json!("$job"), json!(7)),
            (json!("$job+1"), json!(8)),
            (json!("$jobs"), json!([1])),
            (json!("$now"), json!(1000)),
            (json!("$now-1"), json!(999)),
            (json!({"a": ["$now+60", "now"]}), json!({"a": [1060, "now"]})),
            (json!("$i"), json!(3)),
            (json!("$$job"), json!("$job")),
            (json!("$$"), json!("$")),
            (json!("a $job"), json!("a $job")),
            (json!("$dir/x.db"), json!("/case/x.db")),
            (json!("file:$file?mode=ro"), json!("file:/case/app.db?mode=ro")),
            (json!("ATTACH '$dir/b' AS b"), json!("ATTACH '/case/b' AS b")),
            (json!("a $directory"), json!("a $directory")),
            (json!({"$repeat": ["ab", 3]}), json!("ababab")),
            (json!({"$text": {"$repeat": ["x", 2]}}), json!({"$text": "xx"})),
        ] {
            assert_eq!(scope.resolve(&given), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_stands_for_nothing_is_refused() {
        let scope = scope();
        for given in [
            json!("$gone"),
            json!("$"),
            json!("$now+x"),
            json!("$jobs+1"),
            json!("$.a"),
            json!({"$repeat": 1}),
        ] {
            assert!(scope.resolve(&given).is_err(), "{given}");
        }
    }
}
