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
    Error::invalid(format!("{argument} has an unknown key '{key}'"))
}

/// A value that is not what it should be.
pub(crate) fn wrong(argument: &str, key: &str, value: &Value, expected: &str) -> Error {
    // Not all of it: it may be long.
    let shown: String = value.to_string().chars().take(40).collect();
    Error::invalid(format!("{key} in {argument} must be {expected}, not {shown}"))
}

/// An integer of at least so much.
pub(crate) fn at_least(least: i64, argument: &str, key: &str, value: &Value) -> Result<i64> {
    let number = value.as_i64().filter(|number| *number >= least);
    number.ok_or_else(|| wrong(argument, key, value, &format!("an integer of at least {least} or null")))
}
