//! Payloads: values as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

pub(crate) fn encode<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::json(format!("{what} cannot be encoded as JSON"), error))
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T> {
    // An empty text stands for null, as in every package.
    let text: &[u8] = if text.is_empty() { b"null" } else { text };
    serde_json::from_slice(text).map_err(|error| Error::json(format!("{what} cannot be decoded"), error))
}
