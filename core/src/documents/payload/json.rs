//! JSON: an array of documents, one document, or documents one after the other.

use super::{DocumentError, malformed};
use crate::error::ApiError;

/// How deep objects and arrays of a document may be nested. Meilisearch fails the task of a deeper one.
const DEEPEST: usize = 128;

/// How a body holds its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// An array of objects, or one object.
    Whole,
    /// Objects one after the other.
    Lines,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Layout::Whole => "json",
            Layout::Lines => "ndjson",
        }
    }
}

/// Splits JSON or NDJSON into the texts of its documents. Holds no more of it than one unfinished document.
#[derive(Debug)]
pub struct JsonReader {
    layout: Layout,
    place: Place,
    /// The beginning of a document of which the rest is still to come.
    unfinished: Vec<u8>,
    nesting: Nesting,
    /// Where the text that is not yet handed out begins.
    position: Position,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// After `[` or, in NDJSON, between documents.
    BeforeDocument,
    /// After a comma: a document has to come.
    AfterComma,
    /// In an array after a document.
    AfterDocument,
    InDocument {
        /// Whether brackets enclose the document.
        in_array: bool,
    },
    /// After the only document.
    AfterOnly,
    /// After `]`. Meilisearch ignores what follows.
    Done,
}

#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// What follows the bytes that [`Nesting`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// More of the value.
    More,
    /// Something else: the value is at its end.
    End,
    /// Nothing that counts: the value is nested deeper than allowed.
    TooDeep,
}

impl Nesting {
    /// Takes bytes up to the end of the value; how many it took, and what follows.
    fn advance(&mut self, bytes: &[u8], deepest: usize) -> (usize, Then) {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' if self.depth == deepest => return (at + 1, Then::TooDeep),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (at + 1, Then::End);
                    }
                }
                _ => {}
            }
        }
        (bytes.len(), Then::More)
    }
}

/// A place in a text, as serde_json counts: lines from 1, columns in bytes from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

impl Position {
    fn advance(&mut self, text: &[u8]) {
        match text.iter().rposition(|&byte| byte == b'\n') {
            None => self.column += text.len(),
            Some(last) => {
                self.line += text.iter().filter(|&&byte| byte == b'\n').count();
                self.column = text.len() - last - 1;
            }
        }
    }

    /// Where the place `inner` of a text that begins here is.
    fn plus(self, inner: Position) -> Position {
        match inner.line {
            0 | 1 => Position { line: self.line, column: self.column + inner.column },
            line => Position { line: self.line + line - 1, column: inner.column },
        }
    }
}

impl JsonReader {
    /// A reader before any of the body.
    pub fn new(layout: Layout) -> JsonReader {
        JsonReader {
            layout,
            place: Place::Start,
            unfinished: Vec::new(),
            nesting: Nesting::default(),
            position: Position { line: 1, column: 0 },
        }
    }

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        self.unfinished.capacity()
    }

    /// Takes the next piece and hands out each document that ends in it.
    ///
    /// # Errors
    /// `malformed_payload` as Meilisearch words it, or what `visit` answers: a serde_json error says that the
    /// document is no right JSON.
    pub fn push(
        &mut self,
        piece: &[u8],
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(), ApiError> {
        let mut rest = piece;
        while !rest.is_empty() {
            if let Place::InDocument { in_array } = self.place {
                rest = self.take_document(rest, in_array, visit)?;
                continue;
            }
            let space = rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len());
            rest = self.skip(rest, space);
            let Some(&byte) = rest.first() else { return Ok(()) };
            match (self.place, self.layout, byte) {
                (Place::Done, ..) => return Ok(()),
                (Place::Start, Layout::Whole, b'[') => self.place = Place::BeforeDocument,
                (Place::BeforeDocument | Place::AfterDocument, Layout::Whole, b']') => {
                    self.place = Place::Done
                }
                (Place::AfterDocument, _, b',') => self.place = Place::AfterComma,
                (Place::BeforeDocument | Place::AfterComma, Layout::Whole, b'{') => {
                    self.place = Place::InDocument { in_array: true };
                    continue;
                }
                (Place::Start | Place::BeforeDocument, _, b'{') => {
                    self.place = Place::InDocument { in_array: false };
                    continue;
                }
                (place, ..) => return Err(self.unexpected(place, rest)),
            }
            rest = self.skip(rest, 1);
        }
        Ok(())
    }

    fn skip<'r>(&mut self, rest: &'r [u8], length: usize) -> &'r [u8] {
        let (taken, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        self.position.advance(taken);
        rest
    }

    fn take_document<'r>(
        &mut self,
        rest: &'r [u8],
        in_array: bool,
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<&'r [u8], ApiError> {
        let deepest = if self.layout == Layout::Whole && !in_array { DEEPEST - 1 } else { DEEPEST };
        let (length, then) = self.nesting.advance(rest, deepest);
        let (taken, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        if then != Then::End {
            self.unfinished.extend_from_slice(taken);
        }
        match then {
            Then::End => {}
            Then::More => return Ok(rest),
            Then::TooDeep => {
                self.position.advance(&self.unfinished);
                return Err(self.malformed_at("recursion limit exceeded", self.position));
            }
        }
        self.nesting = Nesting::default();
        self.place = match (self.layout, in_array) {
            (Layout::Whole, true) => Place::AfterDocument,
            (Layout::Whole, false) => Place::AfterOnly,
            (Layout::Lines, _) => Place::BeforeDocument,
        };
        let mut unfinished = std::mem::take(&mut self.unfinished);
        let document = match unfinished.is_empty() {
            true => taken,
            false => {
                unfinished.extend_from_slice(taken);
                &unfinished
            }
        };
        let text =
            std::str::from_utf8(document).map_err(|error| self.not_unicode(document, error.valid_up_to()))?;
        visit(text).map_err(|error| match error {
            DocumentError::Refused(error) => error,
            DocumentError::Json(error) => self.malformed(&error),
        })?;
        self.position.advance(document);
        Ok(rest)
    }

    /// Takes the end of the body.
    ///
    /// # Errors
    /// `malformed_payload` if it ended too early.
    pub fn finish(&self) -> Result<(), ApiError> {
        let eof = |what: &str| Err(self.malformed_at(&format!("EOF while parsing {what}"), self.position));
        match (self.place, self.layout) {
            (Place::Done | Place::AfterOnly, _) => Ok(()),
            (Place::Start | Place::BeforeDocument, Layout::Lines) => Ok(()),
            (Place::Start, Layout::Whole) | (Place::AfterComma, _) => eof("a value"),
            (Place::BeforeDocument | Place::AfterDocument, _) => eof("a list"),
            (Place::InDocument { .. }, _) => {
                let error = serde_json::from_slice::<serde::de::IgnoredAny>(&self.unfinished);
                Err(error
                    .map_or_else(|error| self.malformed(&error), |_| self.malformed_at("EOF", self.position)))
            }
        }
    }

    /// What serde_json would say of the text that follows.
    fn unexpected(&self, place: Place, rest: &[u8]) -> ApiError {
        let is_value =
            matches!(rest.first(), Some(b'"' | b'[' | b'{' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'));
        let at = self.position.plus(Position { line: 1, column: 1 });
        match place {
            Place::AfterDocument => self.malformed_at("expected `,` or `]`", at),
            Place::AfterOnly => self.malformed_at("trailing characters", at),
            Place::AfterComma if rest.first() == Some(&b']') => self.malformed_at("trailing comma", at),
            _ if is_value => self.malformed_with("data are neither an object nor a list of objects"),
            _ => self.malformed_at("expected value", at),
        }
    }

    fn not_unicode(&self, document: &[u8], valid: usize) -> ApiError {
        let mut inner = Position { line: 1, column: 0 };
        inner.advance(document.get(..valid).unwrap_or_default());
        self.malformed_at("invalid unicode code point", self.position.plus(inner))
    }

    fn malformed(&self, error: &serde_json::Error) -> ApiError {
        if error.is_data() {
            return self.malformed_with("data are neither an object nor a list of objects");
        }
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        let inner = Position { line: error.line(), column: error.column() };
        self.malformed_at(what, self.position.plus(inner))
    }

    fn malformed_at(&self, what: &str, at: Position) -> ApiError {
        self.malformed_with(&format!("{what} at line {} column {}", at.line, at.column))
    }

    fn malformed_with(&self, what: &str) -> ApiError {
        malformed(&format!(
            "The `{}` payload provided is malformed. `Couldn't serialize document value: {what}`.",
            self.layout.name()
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::documents::id::fields;
    use crate::documents::payload::{Format, PayloadReader};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(format: Format, body: &[u8], piece: usize) -> Result<Vec<String>, String> {
        let mut reader = PayloadReader::new(format);
        let mut documents = Vec::new();
        let mut visit = |document: &str| {
            fields(document)?;
            documents.push(document.to_string());
            Ok(())
        };
        let all = body.chunks(piece.max(1)).try_for_each(|piece| reader.push(piece, &mut visit));
        all.and_then(|()| reader.finish(&mut visit)).map_err(|error| error.message)?;
        Ok(documents)
    }

    #[test]
    fn documents_are_found_whatever_the_pieces() {
        let body = br#" [ {"a":"]}\"","b":[{}]} , {"c":1}
            ] ignored"#;
        for piece in 1..body.len() {
            let found = read(Format::Json, body, piece).unwrap();
            assert_eq!(found, [r#"{"a":"]}\"","b":[{}]}"#, r#"{"c":1}"#], "in pieces of {piece}");
        }
        assert_eq!(read(Format::Ndjson, b"{\"a\":1} {\"b\":\n2}\n\n", 3).unwrap().len(), 2);
        assert_eq!(read(Format::Json, b"{\"a\":1} ", 3).unwrap().len(), 1);
        assert_eq!(read(Format::Json, b"[]", 1).unwrap().len(), 0);
    }

    /// The words are those that Meilisearch 1.50 answered to the same bodies.
    #[test]
    fn malformed_bodies_are_refused_in_meilisearchs_words() {
        let cases = [
            (Format::Json, "\"x\"", "data are neither an object nor a list of objects"),
            (Format::Json, "null", "data are neither an object nor a list of objects"),
            (Format::Json, "{", "EOF while parsing an object at line 1 column 1"),
            (Format::Json, r#"{"a":1"#, "EOF while parsing an object at line 1 column 6"),
            (Format::Json, r#"[{"id":1},"#, "EOF while parsing a value at line 1 column 10"),
            (Format::Json, r#"[{"id":1}"#, "EOF while parsing a list at line 1 column 9"),
            (Format::Json, r#"{"id":1}{"id":2}"#, "trailing characters at line 1 column 9"),
            (Format::Json, r#"[{"id":1},{"id":}]"#, "expected value at line 1 column 17"),
            (Format::Ndjson, "{\"id\":1}\n{\"id\":\n", "EOF while parsing a value at line 3 column 0"),
        ];
        for (format, body, what) in cases {
            let message = read(format, body.as_bytes(), 5).unwrap_err();
            let expected = format!(
                "The `{}` payload provided is malformed. `Couldn't serialize document value: {what}`.",
                format.name()
            );
            assert_eq!(message, expected, "{body}");
        }
        assert_eq!(read(Format::Json, b"", 1).unwrap_err(), "A json payload is missing.");
    }

    #[test]
    fn documents_are_nested_as_deep_as_meilisearch_takes_them() {
        let document =
            |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
        let in_array = |depth: usize| format!("[{}]", document(depth));
        assert!(read(Format::Json, document(127).as_bytes(), 7).is_ok());
        assert!(read(Format::Json, in_array(128).as_bytes(), 7).is_ok());
        assert!(read(Format::Ndjson, document(128).as_bytes(), 7).is_ok());
        let too_deep =
            [(Format::Json, document(128)), (Format::Json, in_array(129)), (Format::Ndjson, document(129))];
        for (format, body) in too_deep {
            let message = read(format, body.as_bytes(), 7).unwrap_err();
            assert!(message.contains("recursion limit exceeded at line 1 column 13"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, piece in 1usize..20) {
            let _ = read(Format::Json, &body, piece);
            let _ = read(Format::Ndjson, &body, piece);
        }

        #[test]
        fn pieces_make_no_difference(body in r#"[\[\]{}",:\\ \na1]{0,40}"#, piece in 1usize..20) {
            for format in [Format::Json, Format::Ndjson] {
                prop_assert_eq!(read(format, body.as_bytes(), piece), read(format, body.as_bytes(), body.len()));
            }
        }
    }
}
