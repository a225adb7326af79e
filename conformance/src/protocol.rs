//! The testee protocol, as `schema/protocol.schema.json` has it: what may be asked, and what may be answered.
//!
//! Threads: read once from the program's own text, then only read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::schema::Schema;

const TEXT: &str = include_str!("../schema/protocol.schema.json");

/// A testee that cannot tell errors apart answers this name.
pub const UNTYPED: &str = "ERROR";

/// What a testee answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Ok(Value),
    Outcome(String),
    Error { name: String, kind: String, message: String },
    Unsupported(String),
    Crashed { message: String, trace: String },
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Ok(value) => write!(f, "ok {}", crate::schema::shortened(value)),
            Answer::Outcome(name) => write!(f, "{name}"),
            Answer::Error { name, kind, message } => write!(f, "error {name} ({kind}): {message}"),
            Answer::Unsupported(feature) => write!(f, "unsupported: {feature}"),
            Answer::Crashed { message, trace } if trace.is_empty() => write!(f, "crashed: {message}"),
            Answer::Crashed { message, trace } => write!(f, "crashed: {message}\n{trace}"),
        }
    }
}

pub struct Operation {
    pub needs: Vec<String>,
    /// Outcomes it may have beside `ok`.
    pub outcomes: Vec<String>,
    /// Its arguments, and the features each needs.
    pub arguments: BTreeMap<String, Vec<String>>,
}

pub struct Protocol {
    schema: Schema,
    operations: BTreeMap<String, Operation>,
    /// Features of values: an object with this key needs that feature.
    values: BTreeMap<String, String>,
    pub features: BTreeSet<String>,
    pub errors: BTreeSet<String>,
    points: BTreeMap<String, PointText>,
    /// Features that only files have, and why.
    of_files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Document {
    features: BTreeSet<String>,
    values: BTreeMap<String, String>,
    errors: BTreeSet<String>,
    points: BTreeMap<String, PointText>,
    of_files: BTreeMap<String, String>,
    operations: BTreeMap<String, OperationText>,
}

#[derive(Deserialize)]
struct PointText {
    needs: Vec<String>,
    /// Why it is reached on files alone.
    of_files: Option<String>,
}

#[derive(Deserialize)]
struct OperationText {
    needs: Vec<String>,
    #[serde(default)]
    outcomes: Vec<String>,
    arguments: ArgumentsText,
}

#[derive(Deserialize)]
struct ArgumentsText {
    #[serde(default)]
    properties: BTreeMap<String, ArgumentText>,
}

#[derive(Deserialize)]
struct ArgumentText {
    #[serde(default)]
    needs: Vec<String>,
}

pub fn protocol() -> &'static Protocol {
    static PROTOCOL: LazyLock<Protocol> = LazyLock::new(Protocol::read);
    &PROTOCOL
}

fn arguments_of(op: &str) -> String {
    format!("/operations/{op}/arguments")
}

fn ok_of(op: &str) -> String {
    format!("/operations/{op}/ok")
}

impl Protocol {
    fn read() -> Protocol {
        let value: Value = serde_json::from_str(TEXT).expect("the protocol's schema is JSON");
        let document = Document::deserialize(&value).expect("the protocol's schema has its shape");
        let places = document.operations.keys().flat_map(|op| [arguments_of(op), ok_of(op)]);
        let schema = Schema::new(&value, places.chain(["/$defs/answer".to_owned()]));
        let operations = document.operations.into_iter().map(|(name, text)| {
            let arguments =
                text.arguments.properties.into_iter().map(|(name, argument)| (name, argument.needs));
            let operation =
                Operation { needs: text.needs, outcomes: text.outcomes, arguments: arguments.collect() };
            (name, operation)
        });
        Protocol {
            schema,
            operations: operations.collect(),
            values: document.values,
            features: document.features,
            errors: document.errors,
            points: document.points,
            of_files: document.of_files,
        }
    }

    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    /// The features that a fault at this point needs; `None` if there is no such point.
    pub fn point(&self, name: &str) -> Option<&[String]> {
        // One function of the C ABI is a point as well: `call:honker_open`.
        let name = if name.starts_with("call:honker_") { "call" } else { name };
        self.points.get(name).map(|point| point.needs.as_slice())
    }

    /// Why this point is reached on files alone, if it is.
    pub fn point_of_files(&self, name: &str) -> Option<&str> {
        self.points.get(name)?.of_files.as_deref()
    }

    /// Why this feature is one of files alone, if it is.
    pub fn of_files(&self, feature: &str) -> Option<&str> {
        self.of_files.get(feature).map(String::as_str)
    }

    /// Whether the operation may be asked for with these arguments, apart from those that are `exempt`.
    pub fn check_arguments(
        &self,
        op: &str,
        arguments: &Map<String, Value>,
        exempt: fn(&Value) -> bool,
    ) -> Result<(), String> {
        let Some(operation) = self.operation(op) else {
            return Err(format!("there is no operation {op}"));
        };
        if let Some(unknown) = arguments.keys().find(|key| !operation.arguments.contains_key(*key)) {
            return Err(format!("{op} has no argument {unknown}"));
        }
        let arguments = Value::Object(arguments.clone());
        self.schema.check(&arguments_of(op), &arguments, exempt).map_err(|error| format!("{op}: {error}"))?;
        for step in arguments["steps"].as_array().into_iter().flatten() {
            let mut step = step.as_object().cloned().unwrap_or_default();
            let op = step.remove("op").and_then(|op| op.as_str().map(str::to_owned)).unwrap_or_default();
            step.remove("lane");
            self.check_arguments(&op, &step, exempt)?;
        }
        Ok(())
    }

    /// The features that asking for this needs.
    pub fn needs(&self, op: &str, arguments: &Map<String, Value>) -> BTreeSet<String> {
        let mut needs = BTreeSet::new();
        let Some(operation) = self.operation(op) else {
            return needs;
        };
        needs.extend(operation.needs.iter().cloned());
        for (key, value) in arguments {
            needs.extend(operation.arguments.get(key).into_iter().flatten().cloned());
            self.needs_of_value(value, &mut needs);
        }
        for step in arguments.get("steps").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(step), Some(op)) = (step.as_object(), step["op"].as_str()) {
                needs.append(&mut self.needs(op, step));
            }
        }
        needs
    }

    fn needs_of_value(&self, value: &Value, needs: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.needs_of_value(item, needs)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    needs.extend(self.values.get(key).cloned());
                    self.needs_of_value(value, needs);
                }
            }
            _ => {}
        }
    }

    /// The answer in `line`, which is one to a request for `op`.
    pub fn answer(&self, op: &str, line: &Value) -> Result<Answer, String> {
        self.schema.check("/$defs/answer", line, |_| false)?;
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if let Some(ok) = line.get("ok") {
            self.schema.check(&ok_of(op), ok, |_| false).map_err(|error| format!("ok of {op}: {error}"))?;
            return Ok(Answer::Ok(ok.clone()));
        }
        if let Some(outcome) = line.get("outcome") {
            let outcome = text(outcome);
            let operation = self.operation(op);
            if operation.is_some_and(|operation| operation.outcomes.contains(&outcome)) {
                return Ok(Answer::Outcome(outcome));
            }
            return Err(format!("{op} does not have the outcome {outcome}"));
        }
        if let Some(error) = line.get("error") {
            let name = text(&error["name"]);
            if name != UNTYPED && !self.errors.contains(&name) {
                return Err(format!("no error has the name {name}"));
            }
            return Ok(Answer::Error { name, kind: text(&error["type"]), message: text(&error["message"]) });
        }
        if let Some(feature) = line.get("unsupported") {
            let feature = text(feature);
            if !self.features.contains(&feature) {
                return Err(format!("there is no feature {feature}"));
            }
            return Ok(Answer::Unsupported(feature));
        }
        let crashed = &line["crashed"];
        Ok(Answer::Crashed { message: text(&crashed["message"]), trace: text(&crashed["trace"]) })
    }
}
