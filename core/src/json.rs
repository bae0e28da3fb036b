//! Finding one's way in JSON text without building values: what is only passed on is never parsed.
//!
//! The scanner checks structure (brackets, strings, separators) and the spelling of scalars loosely; it does
//! not check escapes. Documents from clients are checked in full elsewhere, answers of nodes come from a JSON writer.

/// What can be wrong with a text that should be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

/// Where the string that begins at `start` ends: after its closing quote.
fn string_end(text: &[u8], start: usize) -> Result<usize, NotJson> {
    let mut at = start + 1;
    loop {
        let rest = text.get(at..).ok_or(NotJson)?;
        let found = quote_or_backslash(rest).ok_or(NotJson)?;
        at += found + 1;
        if rest.get(found) == Some(&b'"') {
            return Ok(at);
        }
        at += 1;
    }
}

/// Where the first of them is. Most strings are so short that they end before a call of `memchr` would have begun.
#[inline]
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const WORD: usize = size_of::<u64>();
    for at in [0, WORD] {
        let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<WORD>) else { break };
        let word = u64::from_le_bytes(*word);
        let found = equal_bytes(word, b'"') | equal_bytes(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
    }
    memchr::memchr2(b'"', b'\\', text)
}

/// The high bit of each byte that equals `byte`; above the first, others may have theirs too.
/// Source: S. E. Anderson, Bit Twiddling Hacks, "Determine if a word has a zero byte".
#[inline]
fn equal_bytes(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zero_where_equal = word ^ (ONES * u64::from(byte));
    zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & (ONES << 7)
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

/// By byte, whether it may be in a number, `true`, `false` or `null`.
const IN_SCALARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'+' | b'.');
        byte += 1;
    }
    table
};

fn scalar_end(text: &[u8], start: usize) -> Result<usize, NotJson> {
    let rest = text.get(start..).ok_or(NotJson)?;
    let length = rest.iter().position(|&byte| !IN_SCALARS[usize::from(byte)]).unwrap_or(rest.len());
    match rest.get(..length) {
        Some(b"true" | b"false" | b"null") => Ok(start + length),
        Some([b'-' | b'0'..=b'9', ..]) => Ok(start + length),
        _ => Err(NotJson),
    }
}

/// A place in a JSON text. Whoever is handed one at a value must move it past that value.
#[derive(Clone, Debug)]
pub struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

/// A key of an object.
#[derive(Clone, Copy, Debug)]
pub struct Key<'t> {
    /// What is between its quotes, escapes as written.
    pub name: &'t [u8],
    /// Where its opening quote is.
    pub start: usize,
}

impl<'t> Cursor<'t> {
    /// At the first value of a text.
    pub fn new(text: &'t [u8]) -> Cursor<'t> {
        let mut cursor = Cursor { text, at: 0 };
        cursor.skip_space();
        cursor
    }

    /// Where it is, in bytes from the start of the text.
    pub fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() != Some(byte) {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    /// The text from `start` to here.
    pub fn since(&self, start: usize) -> &'t [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Moves past the value that begins here, and gives its text.
    ///
    /// # Errors
    /// [`NotJson`] if no complete value begins here.
    pub fn skip(&mut self) -> Result<&'t [u8], NotJson> {
        let start = self.at;
        self.at = match self.peek().ok_or(NotJson)? {
            b'"' => string_end(self.text, start)?,
            b'{' | b'[' => container_end(self.text, start)?,
            _ => scalar_end(self.text, start)?,
        };
        Ok(self.since(start))
    }

    /// Moves past the object that begins here. `visit` gets each key, with the cursor at its value.
    ///
    /// # Errors
    /// [`NotJson`] if no complete object begins here, or what `visit` answers.
    pub fn object(
        &mut self,
        mut visit: impl FnMut(&mut Cursor<'t>, Key<'t>) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        self.items(b'{', b'}', |cursor| {
            let start = cursor.at;
            if cursor.peek() != Some(b'"') {
                return Err(NotJson);
            }
            cursor.at = string_end(cursor.text, start)?;
            let name = cursor.text.get(start + 1..cursor.at - 1).ok_or(NotJson)?;
            cursor.skip_space();
            cursor.expect(b':')?;
            cursor.skip_space();
            visit(cursor, Key { name, start })
        })
    }

    /// Moves past the array that begins here. `visit` gets the cursor at each element.
    ///
    /// # Errors
    /// [`NotJson`] if no complete array begins here, or what `visit` answers.
    pub fn array(
        &mut self,
        visit: impl FnMut(&mut Cursor<'t>) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        self.items(b'[', b']', visit)
    }

    fn items(
        &mut self,
        open: u8,
        close: u8,
        mut visit: impl FnMut(&mut Cursor<'t>) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        self.expect(open)?;
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            visit(self)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(NotJson),
            }
            self.skip_space();
        }
    }

    /// Checks that nothing but white space follows.
    ///
    /// # Errors
    /// [`NotJson`] if something does.
    pub fn end(mut self) -> Result<(), NotJson> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(NotJson) }
    }
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

/// Calls `visit` with each member of the object, in order.
///
/// # Errors
/// [`NotJson`] if the text is not an object.
pub fn for_each_member<'t>(text: &'t [u8], mut visit: impl FnMut(Member<'t>)) -> Result<(), NotJson> {
    let mut cursor = Cursor::new(text);
    cursor.object(|cursor, key| {
        let value = cursor.skip()?;
        visit(Member { key: key.name, value, text: cursor.since(key.start) });
        Ok(())
    })?;
    cursor.end()
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
        fn a_string_ends_where_it_should(before in "[^\"\\\\]{0,40}", quote in "[\"\\\\]", after in "[a\"\\\\!#\\]\\[]{0,12}") {
            let text = format!("{before}{quote}{after}");
            let found = quote_or_backslash(text.as_bytes());
            prop_assert_eq!(found, Some(before.len()));
            prop_assert_eq!(quote_or_backslash(before.as_bytes()), None);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = for_each_member(&bytes, |_| {});
            let _ = Cursor::new(&bytes).array(|cursor| cursor.skip().map(drop));
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
