//! Sorting documents that no search ranked, in the order that a search's sort gives: numbers before texts,
//! documents without the value last; of several values the one that comes first counts.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::str::FromStr;

use milli_core::heed::RoTxn;
use milli_core::{AscDesc, FieldsIdsMap, Index, Member, SortError, UserError};
use milli_core::{distance_between_two_points, is_faceted_by, normalize_facet};
use roaring::RoaringBitmap;
use serde_json::Value;

use crate::error::{ResponseError, Result};

/// Reads sort expressions.
pub fn parse(expressions: &[String]) -> Result<Vec<AscDesc>> {
    let sort: Result<_, _> = expressions.iter().map(|expression| AscDesc::from_str(expression)).collect();
    sort.map_err(|error| ResponseError::from(SortError::from(error)).with_code("invalid_document_sort"))
}

/// A window over the sorted documents.
pub fn page(
    index: &Index,
    rtxn: &RoTxn,
    sort: &[AscDesc],
    documents: RoaringBitmap,
    offset: usize,
    limit: usize,
) -> Result<Vec<u32>> {
    let sortable = index.sortable_fields(rtxn)?;
    for member in sort.iter().map(AscDesc::member) {
        let field = member.field().unwrap_or("_geo");
        if !sortable.iter().any(|sortable| is_faceted_by(field, sortable)) {
            let valid_fields: BTreeSet<_> = sortable.into_iter().collect();
            let error = UserError::InvalidSortableAttribute {
                field: field.to_string(),
                valid_fields,
                hidden_fields: false,
            };
            return Err(ResponseError::from(error).with_code("invalid_document_sort"));
        }
    }

    let fields = index.fields_ids_map(rtxn)?;
    let mut keyed = Vec::with_capacity(documents.len() as usize);
    for document in documents {
        let keys: Result<Option<Vec<_>>> =
            sort.iter().map(|sort| key(index, rtxn, &fields, document, sort)).collect();
        keyed.extend(keys?.map(|keys| (keys, document)));
    }
    keyed.sort_by(|(left, left_document), (right, right_document)| {
        let keys = sort.iter().zip(left.iter().zip(right));
        let order = keys
            .fold(Ordering::Equal, |order, (sort, (left, right))| order.then_with(|| left.cmp(right, sort)));
        order.then(left_document.cmp(right_document))
    });
    Ok(keyed.into_iter().map(|(_, document)| document).skip(offset).take(limit).collect())
}

/// What a document is sorted by.
enum Key {
    Number(f64),
    Text(String),
    Missing,
}

impl Key {
    fn cmp(&self, other: &Self, sort: &AscDesc) -> Ordering {
        let direct = |order: Ordering| if matches!(sort, AscDesc::Desc(_)) { order.reverse() } else { order };
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => direct(left.total_cmp(right)),
            (Self::Text(left), Self::Text(right)) => direct(left.cmp(right)),
            (left, right) => left.class().cmp(&right.class()),
        }
    }

    fn class(&self) -> u8 {
        match self {
            Self::Number(_) => 0,
            Self::Text(_) => 1,
            Self::Missing => 2,
        }
    }
}

/// What a document is sorted by. `None` when it has the field but nothing to sort by in it: such documents are in
/// no sorted page of Meilisearch 1.50.
fn key(
    index: &Index,
    rtxn: &RoTxn,
    fields: &FieldsIdsMap,
    document: u32,
    sort: &AscDesc,
) -> Result<Option<Key>> {
    let document = index.document(rtxn, document)?;
    let path = sort.member().field().unwrap_or("_geo");
    let mut keys = Vec::new();
    let mut exists = false;
    for (id, name) in fields.iter() {
        if is_faceted_by(path, name)
            && let Some(value) = document.get(id)
        {
            let value: Value = serde_json::from_slice(value)?;
            let inside = path[name.len()..].trim_start_matches('.');
            match sort.member() {
                Member::Geo(point) => keys.extend(distance(point, &value)),
                Member::Field(_) => exists |= collect(&value, inside, &mut keys),
            }
        }
    }
    let first = keys.into_iter().min_by(|left, right| left.cmp(right, sort));
    Ok(first.or((!exists).then_some(Key::Missing)))
}

fn distance(from: &[f64; 2], geo: &Value) -> Option<Key> {
    let coordinate = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let to = [coordinate(geo.get("lat")?)?, coordinate(geo.get("lng")?)?];
    Some(Key::Number(distance_between_two_points(from, &to)))
}

/// Collects the values at this path inside a value, through arrays. Returns whether the path is there.
fn collect(value: &Value, path: &str, keys: &mut Vec<Key>) -> bool {
    match value {
        Value::Array(values) => {
            let mut exists = path.is_empty();
            for value in values {
                exists |= collect(value, path, keys);
            }
            return exists;
        }
        Value::Object(object) => {
            let mut exists = path.is_empty();
            for (key, value) in object {
                if !path.is_empty() && is_faceted_by(path, key) {
                    exists |= collect(value, path[key.len()..].trim_start_matches('.'), keys);
                }
            }
            return exists;
        }
        _ if !path.is_empty() => return false,
        Value::Number(number) => keys.extend(number.as_f64().map(Key::Number)),
        Value::String(text) => keys.push(Key::Text(normalize_facet(text))),
        Value::Bool(boolean) => keys.push(Key::Text(boolean.to_string())),
        Value::Null => {}
    }
    true
}
