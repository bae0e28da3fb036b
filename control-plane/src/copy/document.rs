//! When two nodes hold the same document.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use twox_hash::XxHash64;

const VECTORS: &str = "_vectors";

/// Whether two nodes hold the same document, read with its vectors. The order of fields does not matter. Embeddings that
/// a node makes by itself need not have the same numbers, since who made them may not give the same ones twice; but
/// both must have some.
pub fn same(left: &RawValue, right: &RawValue) -> bool {
    if left.get() == right.get() {
        return true;
    }
    match (canonical(left), canonical(right)) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    }
}

/// A hash that is the same for what [`same`] takes to be the same.
pub fn fingerprint(document: &RawValue) -> u64 {
    match canonical(document) {
        Ok(canonical) => XxHash64::oneshot(0, &canonical),
        Err(_) => XxHash64::oneshot(0, document.get().as_bytes()),
    }
}

fn canonical(document: &RawValue) -> serde_json::Result<Vec<u8>> {
    let mut document: Map<String, Value> = serde_json::from_str(document.get())?;
    if let Some(vectors) = document.get_mut(VECTORS).and_then(Value::as_object_mut) {
        vectors.values_mut().for_each(forget_generated);
        if vectors.is_empty() {
            document.shift_remove(VECTORS);
        }
    }
    document.sort_keys();
    document.values_mut().for_each(Value::sort_all_objects);
    serde_json::to_vec(&document)
}

/// Keeps of embeddings that the node makes by itself only how many there are.
fn forget_generated(vectors: &mut Value) {
    if vectors["regenerate"] != Value::Bool(true) {
        return;
    }
    let count = match vectors.get("embeddings") {
        Some(Value::Array(embeddings)) => embeddings.len(),
        Some(_) => 1,
        None => 0,
    };
    vectors["embeddings"] = count.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    fn check(left: &str, right: &str) -> bool {
        let (left, right) = (raw(left), raw(right));
        let found = same(&left, &right);
        assert_eq!(fingerprint(&left) == fingerprint(&right), found, "{left} {right}");
        found
    }

    #[test]
    fn the_order_of_fields_does_not_matter() {
        assert!(check(
            r#"{"id":1,"a":{"b":[{"c":1,"d":2}],"e":2}}"#,
            r#"{"a":{"e":2,"b":[{"d":2,"c":1}]},"id":1}"#
        ));
        assert!(!check(r#"{"id":1,"a":[1,2]}"#, r#"{"id":1,"a":[2,1]}"#));
        assert!(!check(r#"{"id":1}"#, r#"{"id":"1"}"#));
        assert!(!check(r#"{"id":1}"#, r#"{"id":1,"a":null}"#));
        assert!(!check(r#"{"id":1,"t":"⸀"}"#, r#"{"id":1,"t":"⸁"}"#));
        assert!(!check(r#"{"id":1,"n":12345678901234567}"#, r#"{"id":1,"n":12345678901234568}"#));
    }

    #[test]
    fn a_user_s_vectors_are_compared_and_generated_ones_counted() {
        let with = |vectors: &str| format!(r#"{{"id":1,"_vectors":{vectors}}}"#);
        let user = |x: f32| with(&format!(r#"{{"v":{{"regenerate":false,"embeddings":[[{x},0.5]]}}}}"#));
        assert!(check(&user(0.1), &with(r#"{"v":{"embeddings":[[0.1,0.5]],"regenerate":false}}"#)));
        assert!(!check(&user(0.1), &user(0.2)));
        let generated =
            |embeddings: &str| with(&format!(r#"{{"v":{{"embeddings":{embeddings},"regenerate":true}}}}"#));
        assert!(check(&generated("[[0.1]]"), &generated("[[0.2]]")));
        assert!(!check(&generated("[[0.1]]"), &generated("[]")), "one has none");
        assert!(!check(&generated("[[0.1]]"), &with(r#"{"v":{"regenerate":false,"embeddings":[[0.1]]}}"#)));
        assert!(!check(&user(0.1), &with("{}")));
        assert!(check(r#"{"id":1}"#, &with("{}")));
    }
}
