//! As much of JSON Schema as the OpenAPI document uses. What it does not know is an error: nothing is held for checked that is not.

use serde_json::Value;

/// What is wrong with a value; empty if nothing is.
pub fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).expect("the schema is there");
        return check(document, target, value, at);
    }
    let mut wrong = Vec::new();
    for (key, rule) in schema.as_object().expect("a schema") {
        match key.as_str() {
            "type" => {
                let names: Vec<&str> = match rule {
                    Value::String(name) => vec![name],
                    names => names.as_array().expect("types").iter().filter_map(Value::as_str).collect(),
                };
                if !names.iter().any(|name| is_of(name, value)) {
                    wrong.push(format!("{at}: {value} is no {names:?}"));
                }
            }
            "enum" => {
                if !rule.as_array().expect("a list").contains(value) {
                    wrong.push(format!("{at}: {value} is none of {rule}"));
                }
            }
            "pattern" => {
                assert_eq!(rule, "^-?[0-9]+$");
                if let Some(text) = value.as_str()
                    && text.parse::<i64>().is_err()
                {
                    wrong.push(format!("{at}: {text} is no id"));
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    wrong.extend(check(document, rule, item, &format!("{at}[{n}]")));
                }
            }
            "required" => {
                let missing = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                let missing = missing.filter(|name| value.is_object() && value.get(name).is_none());
                wrong.extend(missing.map(|name| format!("{at}: {name} is missing")));
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(rule) => wrong.extend(check(document, rule, member, &format!("{at}.{name}"))),
                        None if schema["additionalProperties"] == false => {
                            wrong.push(format!("{at}: {name} is not described"));
                        }
                        None => {}
                    }
                }
            }
            "additionalProperties" | "description" => {}
            unknown => panic!("{unknown} is not known here"),
        }
    }
    wrong
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        unknown => panic!("{unknown} is no type"),
    }
}
