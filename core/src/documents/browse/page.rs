//! Documents as nodes answer them, and as the client gets them.

use crate::documents::id::inspect;
use crate::hide;
use crate::json::{self, Cursor, NotJson, ObjectWriter};

/// What a node answered.
#[derive(Debug)]
pub struct Page {
    pub documents: Vec<Vec<u8>>,
    pub total: u64,
}

impl Page {
    /// Reads a node's answer.
    pub fn read(body: &[u8]) -> Result<Page, NotJson> {
        let (mut documents, mut total) = (None, None);
        json::for_each_member(body, |member| match member.key {
            b"results" => documents = read_documents(member.value).ok(),
            b"total" => total = serde_json::from_slice(member.value).ok(),
            _ => {}
        })?;
        match (documents, total) {
            (Some(documents), Some(total)) => Ok(Page { documents, total }),
            _ => Err(NotJson),
        }
    }
}

fn read_documents(text: &[u8]) -> Result<Vec<Vec<u8>>, NotJson> {
    let mut documents = Vec::new();
    Cursor::new(text).array(|cursor| {
        documents.push(cursor.skip()?.to_vec());
        Ok(())
    })?;
    Ok(documents)
}

/// A document's id.
pub fn id(document: &[u8], primary_key: &str) -> Result<String, NotJson> {
    let text = std::str::from_utf8(document).map_err(|_| NotJson)?;
    inspect(text, primary_key).ok().and_then(|document| document.id.ok()).ok_or(NotJson)
}

/// A document without some of its fields.
pub fn without(document: &[u8], fields: &[String]) -> Vec<u8> {
    if fields.is_empty() {
        return document.to_vec();
    }
    let mut object = ObjectWriter::new(Vec::with_capacity(document.len()));
    let written = json::for_each_member(document, |member| {
        if !fields.iter().any(|field| field.as_bytes() == member.key) {
            object.member(member.text);
        }
    });
    if written.is_ok() { object.finish() } else { document.to_vec() }
}

/// The client's answer.
pub fn answer<'d>(documents: impl Iterator<Item = &'d [u8]>, offset: u64, limit: u64, total: u64) -> Vec<u8> {
    let mut object = ObjectWriter::new(Vec::new());
    let results = object.key("results");
    results.push(b'[');
    for (place, document) in documents.enumerate() {
        if place > 0 {
            results.push(b',');
        }
        match hide::mentions_tag(document) {
            true => results.extend_from_slice(&hide::in_document(document.to_vec())),
            false => results.extend_from_slice(document),
        }
    }
    results.push(b']');
    object.value("offset", &offset);
    object.value("limit", &limit);
    object.value("total", &total);
    object.finish()
}
