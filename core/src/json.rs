//! Finding one's way in JSON text without building values: what is only passed on is never parsed.
//!
//! The scanner checks structure (brackets, strings, separators) and the spelling of scalars loosely; it does
//! not check escapes. Documents from clients are checked in full elsewhere, answers of nodes come from a JSON writer.

/// What can be wrong with a text that should be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

/// The text without the white space around it.
pub fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Where the value that begins at `start` ends.
///
/// # Errors
/// [`NotJson`] if no complete value begins there.
pub fn value_end(text: &[u8], start: usize) -> Result<usize, NotJson> {
    match text.get(start).ok_or(NotJson)? {
        b'"' => string_end(text, start),
        b'{' | b'[' => container_end(text, start),
        _ => scalar_end(text, start),
    }
}

fn string_end(text: &[u8], start: usize) -> Result<usize, NotJson> {
    let mut at = start + 1;
    loop {
        match text.get(at).ok_or(NotJson)? {
            b'"' => return Ok(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn container_end(text: &[u8], start: usize) -> Result<usize, NotJson> {
    let mut depth = 0usize;
    let mut at = start;
    loop {
        match text.get(at).ok_or(NotJson)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

fn scalar_end(text: &[u8], start: usize) -> Result<usize, NotJson> {
    let rest = text.get(start..).ok_or(NotJson)?;
    let is_scalar = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
    let length = rest.iter().position(|byte| !is_scalar(byte)).unwrap_or(rest.len());
    match rest.get(..length) {
        Some(b"true" | b"false" | b"null") => Ok(start + length),
        Some([b'-' | b'0'..=b'9', ..]) => Ok(start + length),
        _ => Err(NotJson),
    }
}

fn skip_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len())
}

/// A member of an object, as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'t> {
    /// The key between its quotes, escapes as written.
    pub key: &'t [u8],
    /// The value's text.
    pub value: &'t [u8],
    /// Key, colon and value.
    pub text: &'t [u8],
}

/// The members of an object, or the elements of an array, in order.
struct Items<'t> {
    text: &'t [u8],
    at: usize,
    close: u8,
    first: bool,
}

impl<'t> Items<'t> {
    fn open(text: &'t [u8], open: u8, close: u8) -> Result<Items<'t>, NotJson> {
        let text = trim(text);
        if text.first() != Some(&open) {
            return Err(NotJson);
        }
        Ok(Items { text, at: 1, close, first: true })
    }

    /// Moves to the next item; `None` at the closing bracket, after which nothing may stand.
    fn next_start(&mut self) -> Result<Option<usize>, NotJson> {
        let mut at = skip_space(self.text, self.at);
        let byte = *self.text.get(at).ok_or(NotJson)?;
        if byte == self.close {
            return if at + 1 == self.text.len() { Ok(None) } else { Err(NotJson) };
        }
        if !self.first {
            if byte != b',' {
                return Err(NotJson);
            }
            at = skip_space(self.text, at + 1);
        }
        self.first = false;
        Ok(Some(at))
    }

    fn slice(&self, start: usize, end: usize) -> Result<&'t [u8], NotJson> {
        self.text.get(start..end).ok_or(NotJson)
    }
}

/// Calls `visit` with each member of the object, in order.
///
/// # Errors
/// [`NotJson`] if the text is not an object.
pub fn for_each_member<'t>(text: &'t [u8], mut visit: impl FnMut(Member<'t>)) -> Result<(), NotJson> {
    let mut items = Items::open(text, b'{', b'}')?;
    while let Some(start) = items.next_start()? {
        if text_at(items.text, start) != Some(b'"') {
            return Err(NotJson);
        }
        let key_end = string_end(items.text, start)?;
        let colon = skip_space(items.text, key_end);
        if text_at(items.text, colon) != Some(b':') {
            return Err(NotJson);
        }
        let value_start = skip_space(items.text, colon + 1);
        let end = value_end(items.text, value_start)?;
        visit(Member {
            key: items.slice(start + 1, key_end - 1)?,
            value: items.slice(value_start, end)?,
            text: items.slice(start, end)?,
        });
        items.at = end;
    }
    Ok(())
}

/// Calls `visit` with the text of each element of the array, in order.
///
/// # Errors
/// [`NotJson`] if the text is not an array.
pub fn for_each_element<'t>(text: &'t [u8], mut visit: impl FnMut(&'t [u8])) -> Result<(), NotJson> {
    let mut items = Items::open(text, b'[', b']')?;
    while let Some(start) = items.next_start()? {
        let end = value_end(items.text, start)?;
        visit(items.slice(start, end)?);
        items.at = end;
    }
    Ok(())
}

fn text_at(text: &[u8], at: usize) -> Option<u8> {
    text.get(at).copied()
}

/// Writes a JSON object member by member.
pub struct ObjectWriter {
    out: Vec<u8>,
    first: bool,
}

impl ObjectWriter {
    /// An object that is appended to `out`.
    pub fn new(mut out: Vec<u8>) -> ObjectWriter {
        out.push(b'{');
        ObjectWriter { out, first: true }
    }

    fn separate(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    /// Adds a member as it stands in some other object's text.
    pub fn member(&mut self, text: &[u8]) {
        self.separate();
        self.out.extend_from_slice(text);
    }

    /// Adds a key, which must need no escapes, and gives the place to write its value to.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        &mut self.out
    }

    /// Adds a key, which must need no escapes, and its value.
    pub fn value(&mut self, key: &str, value: &impl serde::Serialize) {
        let out = self.key(key);
        // Writing plain values to memory can't fail; should it, `null` keeps the object well formed.
        let length = out.len();
        if serde_json::to_writer(&mut *out, value).is_err() {
            out.truncate(length);
            out.extend_from_slice(b"null");
        }
    }

    /// Closes the object and gives back what it was appended to.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn members(text: &str) -> Result<Vec<(String, String)>, NotJson> {
        let mut found = Vec::new();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for_each_member(text.as_bytes(), |member| found.push((text_of(member.key), text_of(member.value))))?;
        Ok(found)
    }

    #[test]
    fn members_come_as_they_stand() {
        let found = members(r#" {"a": [1, {"b":"]}"}], "c\"": -1.5e3 ,"d":null} "#);
        let expected = [("a", r#"[1, {"b":"]}"}]"#), (r#"c\""#, "-1.5e3"), ("d", "null")];
        assert_eq!(found, Ok(expected.map(|(k, v)| (k.to_string(), v.to_string())).to_vec()));
    }

    #[test]
    fn broken_objects_are_refused() {
        for text in [
            "",
            "{",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":1 \"b\":2}",
            "{\"a\":tru}",
        ] {
            assert_eq!(members(text), Err(NotJson), "{text}");
        }
    }

    #[test]
    fn an_object_is_written_member_by_member() {
        let mut object = ObjectWriter::new(Vec::new());
        object.member(br#""a":1"#);
        object.value("b", &"x\"y");
        assert_eq!(object.finish(), br#"{"a":1,"b":"x\"y"}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = for_each_member(&bytes, |_| {});
            let _ = for_each_element(&bytes, |_| {});
        }

        #[test]
        fn what_serde_writes_is_found_again(
            object in proptest::collection::btree_map(".{0,8}", proptest::collection::vec(".{0,8}", 0..4), 0..8)
        ) {
            let text = serde_json::to_vec(&object).unwrap();
            let mut found = 0;
            for_each_member(&text, |member| {
                found += 1;
                assert!(serde_json::from_slice::<Vec<String>>(member.value).is_ok());
            }).unwrap();
            prop_assert_eq!(found, object.len());
        }
    }
}
