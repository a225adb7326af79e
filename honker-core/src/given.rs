//! JSON objects as arguments: keys that are unknown and values of the wrong type are errors that name them.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// Reads the argument of this name.
pub(crate) fn object(argument: &str, text: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text)
        .map_err(|error| Error::invalid(format!("{argument} must be a JSON object: {error}")))
}

/// A key that nobody knows.
pub(crate) fn unknown(argument: &str, key: &str) -> Error {
    Error::invalid(format!("{argument}: unknown key '{key}'"))
}

/// A value that is not what it should be.
pub(crate) fn wrong(argument: &str, key: &str, value: &Value, expected: &str) -> Error {
    // Not all of it: it may be long.
    let shown: String = value.to_string().chars().take(40).collect();
    Error::invalid(format!("{argument}: {key} must be {expected}, not {shown}"))
}

/// An integer of at least so much.
pub(crate) fn at_least(least: i64, argument: &str, key: &str, value: &Value) -> Result<i64> {
    let number = value.as_i64().filter(|number| *number >= least);
    number.ok_or_else(|| wrong(argument, key, value, &format!("an integer of at least {least} or null")))
}

/// A key of such an object, and its value.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) argument: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a Value,
}

impl Given<'_> {
    pub(crate) fn integer(&self) -> Result<i64> {
        self.value.as_i64().ok_or_else(|| self.wrong("an integer"))
    }

    pub(crate) fn optional_integer(&self) -> Result<Option<i64>> {
        if self.value.is_null() {
            return Ok(None);
        }
        self.value.as_i64().map(Some).ok_or_else(|| self.wrong("an integer or null"))
    }

    pub(crate) fn text(&self) -> Result<String> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.wrong("a text"))
    }

    pub(crate) fn optional_text(&self) -> Result<Option<String>> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(self.wrong("a text or null")),
        }
    }

    /// What stands beside the text that is given; the default for null.
    pub(crate) fn one_of<T: Default, const N: usize>(&self, choices: [(&str, T); N]) -> Result<T> {
        if self.value.is_null() {
            return Ok(T::default());
        }
        let texts = choices.each_ref().map(|(text, _)| format!("\"{text}\""));
        let chosen = choices.into_iter().find(|(text, _)| self.value == text).map(|(_, choice)| choice);
        chosen.ok_or_else(|| self.wrong(&format!("{} or null", texts.join(", "))))
    }

    /// See [`wrong`].
    pub(crate) fn wrong(&self, expected: &str) -> Error {
        wrong(self.argument, self.key, self.value, expected)
    }
}
