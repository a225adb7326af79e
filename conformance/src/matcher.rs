//! Whether an answer is what a case expects.

use serde_json::{Map, Value};

use crate::schema::shortened;
use crate::value::Scope;

/// The matchers there are, beside the values that are written as an object with such a key.
pub const MATCHERS: [&str; 11] =
    ["$any", "$absent", "$gt", "$between", "$len", "$unordered", "$re", "$contains", "$json", "$not", "$or"];

/// Matches `actual` (`None`: it is absent) and keeps what is to be saved; or says where and how it is otherwise.
pub fn matches(expected: &Value, actual: Option<&Value>, scope: &mut Scope) -> Result<(), String> {
    at("", expected, actual, scope)
}

fn at(place: &str, expected: &Value, actual: Option<&Value>, scope: &mut Scope) -> Result<(), String> {
    if let Some((name, argument)) = matcher(expected) {
        return by(name, argument, place, actual, scope);
    }
    let Some(actual) = actual else {
        return Err(format!("{}is absent, expected {}", shown(place), shortened(expected)));
    };
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            if expected.contains_key("$repeat") {
                let expected = scope.resolve(&Value::Object(expected.clone()))?;
                return equal(place, &expected, &Value::Object(actual.clone()));
            }
            fields(place, expected, actual, scope)
        }
        (Value::Array(expected), Value::Array(actual)) => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                at(&below(place, &index.to_string()), expected, Some(actual), scope)?;
            }
            if expected.len() != actual.len() {
                let (many, wanted) = (actual.len(), expected.len());
                return Err(format!(
                    "{}has {many} items, expected {wanted}: {}",
                    shown(place),
                    shortened(&Value::Array(actual.clone()))
                ));
            }
            Ok(())
        }
        _ => {
            let resolved = scope.resolve(expected)?;
            // What was saved may be a whole object.
            equal(place, &resolved, actual)
        }
    }
}

fn fields(
    place: &str,
    expected: &Map<String, Value>,
    actual: &Map<String, Value>,
    scope: &mut Scope,
) -> Result<(), String> {
    for (key, expected) in expected {
        at(&below(place, key), expected, actual.get(key), scope)?;
    }
    Ok(())
}

fn equal(place: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    let same = match (expected, actual) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        _ => expected == actual,
    };
    if same {
        return Ok(());
    }
    Err(format!("{}is {}, expected {}", shown(place), shortened(actual), shortened(expected)))
}

fn same_number(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    // As integers first: two large ones may be the same as floating-point numbers.
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a == b,
        #[allow(clippy::float_cmp)] // equality is what is asked for
        _ => a.as_f64() == b.as_f64() && a.is_f64() | b.is_f64() || a == b,
    }
}

fn matcher(expected: &Value) -> Option<(&str, &Value)> {
    let fields = expected.as_object()?;
    let (name, argument) = fields.iter().next()?;
    let known = MATCHERS.contains(&name.as_str()) || name == "$save";
    (fields.len() == 1 && known).then_some((name, argument))
}

fn by(
    name: &str,
    argument: &Value,
    place: &str,
    actual: Option<&Value>,
    scope: &mut Scope,
) -> Result<(), String> {
    if name == "$absent" {
        return match actual {
            None => Ok(()),
            Some(actual) => Err(format!("{}is {}, expected to be absent", shown(place), shortened(actual))),
        };
    }
    if name == "$not" {
        let mut aside = scope.clone();
        return match at(place, argument, actual, &mut aside) {
            Err(_) => Ok(()),
            Ok(()) => Err(format!("{}is what it must not be: {}", shown(place), shortened(argument))),
        };
    }
    if name == "$or" {
        let mut reasons = Vec::new();
        for alternative in argument.as_array().into_iter().flatten() {
            let mut aside = scope.clone();
            match at(place, alternative, actual, &mut aside) {
                Ok(()) => {
                    *scope = aside;
                    return Ok(());
                }
                Err(reason) => reasons.push(reason),
            }
        }
        return Err(format!("none of the alternatives: {}", reasons.join("; or ")));
    }
    let Some(actual) = actual else {
        return Err(format!("{}is absent, expected {name}: {}", shown(place), shortened(argument)));
    };
    let otherwise =
        || Err(format!("{}is {}, expected {name}: {}", shown(place), shortened(actual), shortened(argument)));
    let holds = match name {
        "$any" => true,
        "$save" => {
            let name = argument.as_str().ok_or("$save takes a name")?;
            scope.saved.insert(name.to_owned(), actual.clone());
            true
        }
        "$gt" => order(actual, &scope.resolve(argument)?) == Some(std::cmp::Ordering::Greater),
        "$between" => {
            let ends = scope.resolve(argument)?;
            order(actual, &ends[0]).is_some_and(|order| order.is_ge())
                && order(actual, &ends[1]).is_some_and(|order| order.is_le())
        }
        "$len" => {
            let len = match actual {
                Value::Array(items) => Some(items.len()),
                Value::String(text) => Some(text.chars().count()),
                _ => None,
            };
            let wanted = scope.number(argument)?;
            len.and_then(|len| i64::try_from(len).ok()) == Some(wanted)
        }
        "$unordered" => return unordered(place, argument, actual, scope),
        "$re" => {
            let pattern = argument.as_str().ok_or("$re takes a text")?;
            let regex = regex::Regex::new(pattern).map_err(|error| error.to_string())?;
            actual.as_str().is_some_and(|text| regex.is_match(text))
        }
        "$contains" => {
            let words = scope.resolve(argument)?;
            let words = words.as_str().ok_or("$contains takes a text")?.to_lowercase();
            actual.as_str().is_some_and(|text| text.to_lowercase().contains(&words))
        }
        "$json" => {
            let Some(Ok(value)) = actual.as_str().map(serde_json::from_str::<Value>) else {
                return otherwise();
            };
            return at(place, argument, Some(&value), scope);
        }
        _ => return Err(format!("there is no matcher {name}")),
    };
    if holds { Ok(()) } else { otherwise() }
}

fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// Each item finds one that no other has: the most particular would have to come first, but items that overlap are rare
/// enough to try the permutations only as far as they fit.
fn unordered(place: &str, expected: &Value, actual: &Value, scope: &mut Scope) -> Result<(), String> {
    let expected = expected.as_array().ok_or("$unordered takes a list")?;
    let Some(items) = actual.as_array().filter(|items| items.len() == expected.len()) else {
        return Err(format!("{}is {}, expected {} items", shown(place), shortened(actual), expected.len()));
    };
    let mut free: Vec<&Value> = items.iter().collect();
    if assign(place, expected, &mut free, scope) {
        return Ok(());
    }
    let expected = shortened(&Value::Array(expected.clone()));
    Err(format!("{}is {}, expected in any order {expected}", shown(place), shortened(actual)))
}

fn assign(place: &str, expected: &[Value], free: &mut Vec<&Value>, scope: &mut Scope) -> bool {
    let Some((first, rest)) = expected.split_first() else {
        return true;
    };
    for index in 0..free.len() {
        let mut aside = scope.clone();
        if at(place, first, Some(free[index]), &mut aside).is_ok() {
            let item = free.remove(index);
            if assign(place, rest, free, &mut aside) {
                *scope = aside;
                return true;
            }
            free.insert(index, item);
        }
    }
    false
}

fn below(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn shown(place: &str) -> String {
    if place.is_empty() { "the answer ".to_owned() } else { format!("{place} ") }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        Scope {
            saved: [("job".to_owned(), json!(7))].into(),
            now: 1000,
            turn: None,
            dir: PathBuf::from("/case"),
            address: "/case/app.db".to_owned(),
        }
    }

    #[test]
    fn each_matches_what_it_should_and_nothing_else() {
        for (expected, right, wrong) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), json!({"b": 2})),
            (json!([1, 2]), json!([1, 2]), json!([1, 2, 3])),
            (json!([1, 2]), json!([1, 2]), json!([2, 1])),
            (json!([1, 2]), json!([1, 2]), json!([1])),
            (json!(1), json!(1.0), json!("1")),
            (json!(i64::MAX), json!(i64::MAX), json!(i64::MAX - 1)),
            (json!(null), json!(null), json!(0)),
            (json!("$job"), json!(7), json!(8)),
            (json!("$now+1"), json!(1001), json!(1000)),
            (json!({"$repeat": ["x", 2]}), json!("xx"), json!("x")),
            (json!({"$gt": 5}), json!(6), json!(5)),
            (json!({"$between": [1, 5]}), json!(5), json!(6)),
            (json!({"$between": ["$job", 9]}), json!(7), json!(6)),
            (json!({"$len": 2}), json!("äb"), json!("a")),
            (json!({"$len": 2}), json!([1, 1]), json!(2)),
            (json!({"$unordered": [1, {"$any": true}, 2]}), json!([2, 1, 3]), json!([2, 2, 3])),
            (json!({"$unordered": [{"$gt": 0}, 1]}), json!([1, 2]), json!([2, 2])),
            (json!({"$re": "^a.*b$"}), json!("a-b"), json!("a-c")),
            (json!({"$contains": "NOT a"}), json!("It is not a thing"), json!("It is a thing")),
            (json!({"$json": {"a": [1]}}), json!("{\"a\": [1]}"), json!({"a": [1]})),
            (json!({"$not": 1}), json!(2), json!(1)),
            (json!({"$or": ["LOST", {"a": 1}]}), json!({"a": 1}), json!({"a": 2})),
            (json!({"a": {"$absent": true}}), json!({"b": 1}), json!({"a": null})),
            (json!({"$hex": "00"}), json!({"$hex": "00"}), json!({"$hex": "01"})),
            (json!({"$text": "a"}), json!({"$text": "a"}), json!("a")),
        ] {
            assert_eq!(matches(&expected, Some(&right), &mut scope()), Ok(()), "{expected} and {right}");
            assert!(matches(&expected, Some(&wrong), &mut scope()).is_err(), "{expected} and {wrong}");
        }
    }

    #[test]
    fn what_is_saved_is_that_of_the_alternative_that_holds() {
        let mut scope = scope();
        let expected = json!([{"$or": [{"a": {"$save": "x"}, "b": 1}, {"c": {"$save": "y"}}]}, "$y"]);
        assert_eq!(matches(&expected, Some(&json!([{"a": 1, "b": 2, "c": 3}, 3])), &mut scope), Ok(()));
        assert_eq!(scope.saved.get("x"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = matches(&json!({"jobs": [{"id": 1}]}), Some(&json!({"jobs": [{"id": 2}]})), &mut scope());
        assert_eq!(error, Err("jobs.0.id is 2, expected 1".to_owned()));
    }
}
