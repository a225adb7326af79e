//! What the answer to a step must be.

use std::time::Duration;

use serde_json::{Map, Value};

use super::reader::Reader;
use crate::matcher::MATCHERS;
use crate::protocol::{UNTYPED, protocol};
use crate::value::{self, RESERVED};

#[derive(Clone, Default)]
pub struct Expected {
    pub gives: Option<Value>,
    pub fails: Option<Failure>,
    pub dies: Dies,
    pub save: Vec<(String, String)>,
    pub within: Option<Duration>,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub enum Dies {
    #[default]
    Never,
    Maybe,
    Always,
}

/// An error: one of these names (any, if there is none), with all these words in its message.
#[derive(Clone)]
pub struct Failure {
    pub names: Vec<String>,
    pub words: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn expected(&mut self, text: &Map<String, Value>, turns: bool) -> Result<Expected, String> {
        let gives = text.get("gives").cloned();
        if let Some(gives) = &gives {
            self.pattern(gives, turns)?;
        }
        let fails = text.get("fails").map(failure).transpose()?;
        let dies = match text.get("dies") {
            None => Dies::Never,
            Some(Value::Bool(true)) => Dies::Always,
            Some(_) => Dies::Maybe,
        };
        let within = text.get("within_ms").and_then(Value::as_u64).map(Duration::from_millis);
        Ok(Expected { gives, fails, dies, save: self.saves(text)?, within })
    }

    pub(super) fn saves(&mut self, text: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
        let saves = text.get("save").and_then(Value::as_object).into_iter().flatten();
        let saves: Vec<(String, String)> =
            saves.filter_map(|(name, path)| Some((name.clone(), path.as_str()?.to_owned()))).collect();
        saves.iter().try_for_each(|(name, _)| self.save(name))?;
        Ok(saves)
    }

    fn save(&mut self, name: &str) -> Result<(), String> {
        if RESERVED.contains(&name) {
            return Err(format!("${name} has a meaning of its own"));
        }
        self.saved.insert(name.to_owned());
        Ok(())
    }

    /// What an answer is compared with.
    pub(super) fn pattern(&mut self, value: &Value, turns: bool) -> Result<(), String> {
        self.pattern_saves(value)?;
        let others = ["$save", "$repeat", "$text", "$bytes", "$hex"];
        let keys: Vec<&str> = MATCHERS.into_iter().chain(others).collect();
        self.uses(value, &keys, turns)
    }

    fn pattern_saves(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.pattern_saves(item)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("$save", Value::String(name)) => self.save(name)?,
                        ("$re", Value::String(text)) => {
                            regex::Regex::new(text).map_err(|error| error.to_string())?;
                        }
                        ("$between", Value::Array(ends)) if ends.len() == 2 => {}
                        ("$or" | "$unordered", Value::Array(_)) => {}
                        ("$save" | "$re" | "$between" | "$or" | "$unordered", _) => {
                            return Err(format!("{key} does not take {value}"));
                        }
                        _ => {}
                    }
                    if key.starts_with('$') && fields.len() > 1 {
                        return Err(format!("{key} does not share its object with other keys"));
                    }
                    self.pattern_saves(value)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Looks whether all names in `value` stand for something, and no key but these begins with a dollar.
    pub(super) fn uses(&self, value: &Value, allowed: &[&str], turns: bool) -> Result<(), String> {
        let (mut names, mut keys) = (Vec::new(), Vec::new());
        value::survey(value, &mut names, &mut keys)?;
        for name in names {
            let known = name == "now" || name == "i" && turns || self.saved.contains(&name);
            if !known {
                return Err(format!("nothing has been saved as ${name} by then"));
            }
        }
        match keys.iter().find(|key| !allowed.contains(&key.as_str())) {
            Some(key) => Err(format!("{key} means nothing here")),
            None => Ok(()),
        }
    }
}

fn failure(text: &Value) -> Result<Failure, String> {
    let name_of = |value: &Value| value.as_str().map(str::to_owned);
    let (names, words): (Vec<String>, Vec<String>) = match text {
        Value::String(name) => (vec![name.clone()], Vec::new()),
        Value::Array(names) => (names.iter().filter_map(name_of).collect(), Vec::new()),
        other => {
            (name_of(&other["name"]).into_iter().collect(), name_of(&other["message"]).into_iter().collect())
        }
    };
    for name in &names {
        if !protocol().errors.contains(name) {
            let hint = if name == UNTYPED { " (any error will do: `fails: {}`)" } else { "" };
            return Err(format!("no error has the name {name}{hint}"));
        }
    }
    Ok(Failure { names, words })
}
