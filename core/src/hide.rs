//! Keeping the shard tag out of what clients see.

use crate::exchange::{Answer, Reply};
use crate::json::{self, ObjectWriter};
use crate::tag::TAG_FIELD;

/// Whether the text speaks of the tag.
pub fn mentions_tag(text: &[u8]) -> bool {
    text.windows(TAG_FIELD.len()).any(|window| window == TAG_FIELD.as_bytes())
}

/// A node's error without the tag in its lists of attributes.
pub fn in_error(answer: Answer) -> Reply {
    let mut reply = Reply::from(answer);
    if !mentions_tag(&reply.body) {
        return reply;
    }
    let Ok(text) = String::from_utf8(std::mem::take(&mut reply.body)) else { return reply };
    reply.body = in_message(&text).into_bytes();
    reply
}

/// A node's message without the tag in its lists of attributes.
pub fn in_message(message: &str) -> String {
    // The lists come as `a, b` in one pair of backquotes, or with one pair each.
    let alone = [
        format!("Available filterable attributes patterns are: `{TAG_FIELD}`."),
        format!("Available filterable attribute patterns are: `{TAG_FIELD}`."),
    ];
    let listed = [
        format!("`{TAG_FIELD}`, "),
        format!(", `{TAG_FIELD}`"),
        format!("{TAG_FIELD}, "),
        format!(", {TAG_FIELD}"),
    ];
    let none = "This index does not have configured filterable attributes.";
    let message = alone.iter().fold(message.to_string(), |text, phrase| text.replace(phrase, none));
    let searchable = format!("Available facet-searchable attributes patterns are: `{TAG_FIELD}`.");
    let message =
        message.replace(&searchable, "This index does not have configured facet-searchable attributes.");
    listed.iter().fold(message, |text, phrase| text.replace(phrase, ""))
}

/// A document as the client may see it; the same bytes if it is none.
pub fn in_document(document: Vec<u8>) -> Vec<u8> {
    if !mentions_tag(&document) {
        return document;
    }
    let mut object = ObjectWriter::new(Vec::with_capacity(document.len()));
    let written = json::for_each_member(&document, |member| {
        if member.key != TAG_FIELD.as_bytes() {
            object.member(member.text);
        }
    });
    if written.is_ok() { object.finish() } else { document }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_tag_is_not_among_the_attributes_of_an_error() {
        let cases = [
            ("are: `_miroir_shard`, `g`.\n2:3", "are: `g`.\n2:3"),
            ("are: `_miroir_shard, g`.", "are: `g`."),
            (
                "Available filterable attributes patterns are: `_miroir_shard`.",
                "This index does not have configured filterable attributes.",
            ),
        ];
        let searchable = "Available facet-searchable attributes patterns are: `_miroir_shard`. To";
        let none = "This index does not have configured facet-searchable attributes. To";
        for (shown, expected) in cases.into_iter().chain([(searchable, none)]) {
            assert_eq!(in_message(shown), expected);
        }
    }

    #[test]
    fn the_tag_is_not_in_a_document() {
        let document = br#"{"id":1,"_miroir_shard":"x","a":{"b":2}}"#.to_vec();
        assert_eq!(in_document(document), br#"{"id":1,"a":{"b":2}}"#);
    }
}
