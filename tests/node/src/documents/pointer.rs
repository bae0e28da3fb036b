//! Choosing parts of a document by names that may lead into it: `author.name`.

use milli_core::{Object, is_faceted_by};
use serde_json::Value;

/// The parts of a document that these names lead to.
pub fn select(document: &Object, names: &[&str]) -> Object {
    select_below(document, "", names)
}

fn select_below(object: &Object, prefix: &str, names: &[&str]) -> Object {
    let mut selected = Object::new();
    for (key, value) in object {
        let path = join(prefix, key);
        if names.iter().any(|name| is_faceted_by(&path, name)) {
            selected.insert(key.clone(), value.clone());
        } else if names.iter().any(|name| is_faceted_by(name, &path))
            && let Some(part) = select_inside(value, &path, names)
        {
            selected.insert(key.clone(), part);
        }
    }
    selected
}

/// What is selected inside a value, unless that is nothing.
fn select_inside(value: &Value, path: &str, names: &[&str]) -> Option<Value> {
    match value {
        Value::Object(object) => {
            let part = select_below(object, path, names);
            (!part.is_empty()).then(|| part.into())
        }
        Value::Array(values) => {
            let parts: Vec<_> = values.iter().filter_map(|value| select_inside(value, path, names)).collect();
            (!parts.is_empty()).then(|| parts.into())
        }
        _ => None,
    }
}

/// Visits the values inside the parts of a document that these names lead to: neither objects nor arrays. Tells
/// each one's path and its position in the arrays around it.
pub fn visit_leaves(
    document: &mut Object,
    names: &[&str],
    visit: &mut impl FnMut(&str, &[usize], &mut Value),
) {
    visit_below(document, "", names, &mut Vec::new(), visit);
}

fn visit_below(
    object: &mut Object,
    prefix: &str,
    names: &[&str],
    positions: &mut Vec<usize>,
    visit: &mut impl FnMut(&str, &[usize], &mut Value),
) {
    for (key, value) in object.iter_mut() {
        let path = join(prefix, key);
        if names.iter().any(|name| is_faceted_by(&path, name) || is_faceted_by(name, &path)) {
            visit_inside(value, &path, names, positions, visit);
        }
    }
}

fn visit_inside(
    value: &mut Value,
    path: &str,
    names: &[&str],
    positions: &mut Vec<usize>,
    visit: &mut impl FnMut(&str, &[usize], &mut Value),
) {
    match value {
        Value::Object(object) => visit_below(object, path, names, positions, visit),
        Value::Array(values) => {
            for (position, value) in values.iter_mut().enumerate() {
                positions.push(position);
                visit_inside(value, path, names, positions, visit);
                positions.pop();
            }
        }
        leaf => {
            if names.iter().any(|name| is_faceted_by(path, name)) {
                visit(path, positions, leaf);
            }
        }
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") }
}
