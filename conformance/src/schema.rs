//! A JSON schema, and the places in it that something is checked against.
//!
//! What is checked may hold values that are known only later (`$job`): an objection to one of those is none.
//!
//! Threads: compiled once, then only read.

use std::collections::HashMap;

use boon::{Compiler, ErrorKind, SchemaIndex, Schemas, ValidationError};
use serde_json::Value;

pub struct Schema {
    schemas: Schemas,
    places: HashMap<String, SchemaIndex>,
}

impl Schema {
    /// Compiles what is at `places`, which are JSON pointers.
    pub fn new(document: &Value, places: impl IntoIterator<Item = String>) -> Schema {
        let url = document["$id"].as_str().expect("a schema has an $id");
        let mut compiler = Compiler::new();
        let mut schemas = Schemas::new();
        compiler.add_resource(url, document.clone()).expect("the schema has a new name");
        let places = places.into_iter().map(|place| {
            let index = compiler
                .compile(&format!("{url}#{place}"), &mut schemas)
                .unwrap_or_else(|error| panic!("the schema is not in order at {place}: {error:#}"));
            (place, index)
        });
        Schema { places: places.collect(), schemas }
    }

    /// What is wrong with `value`, if it is not what `place` says. Nothing is wrong with a value that is `exempt`.
    pub fn check(&self, place: &str, value: &Value, exempt: fn(&Value) -> bool) -> Result<(), String> {
        let index = *self.places.get(place).unwrap_or_else(|| panic!("{place} has not been compiled"));
        let Err(error) = self.schemas.validate(value, index) else {
            return Ok(());
        };
        let mut objections = Vec::new();
        collect(&error, value, exempt, &mut objections);
        objections.dedup();
        if objections.is_empty() { Ok(()) } else { Err(objections.join("; ")) }
    }
}

/// Collects the objections of `error` into `objections`; whether there are any.
fn collect(
    error: &ValidationError,
    root: &Value,
    exempt: fn(&Value) -> bool,
    objections: &mut Vec<String>,
) -> bool {
    let place = error.instance_location.to_string();
    let value = root.pointer(&place);
    if value.is_some_and(exempt) {
        return false;
    }
    let alternatives = matches!(error.kind, ErrorKind::AnyOf | ErrorKind::OneOf(_));
    if alternatives {
        let mut inner = Vec::new();
        if !error.causes.iter().all(|cause| collect(cause, root, exempt, &mut inner)) {
            return false;
        }
        objections.push(format!(
            "{}{} is nothing that may be here",
            at(&place),
            value.map_or_else(String::new, shortened)
        ));
        return true;
    }
    if error.causes.is_empty() {
        objections.push(format!("{}{}", at(&place), error.kind));
        return true;
    }
    let mut any = false;
    for cause in &error.causes {
        any |= collect(cause, root, exempt, objections);
    }
    any
}

fn at(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{}: ", place[1..].replace('/', ".")) }
}

/// A value as text, not too much of it.
pub fn shortened(value: &Value) -> String {
    const MOST: usize = 300;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
