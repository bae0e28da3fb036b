//! CSV: a header that names and types the fields, then a document per record.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::{DocumentError, malformed};
use crate::error::ApiError;

/// What a file may begin with to say that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Splits CSV into the texts of its documents. Holds no more of it than one unfinished record.
#[derive(Debug)]
pub struct CsvReader {
    parser: Box<Reader>,
    /// The first bytes, while they may be the beginning of a byte order mark.
    start: Option<Vec<u8>>,
    /// The fields of the record that is being read, one after the other.
    fields: Vec<u8>,
    /// How much of `fields` is filled.
    filled: usize,
    /// Where in `fields` each one ends.
    ends: Vec<usize>,
    /// How many of `ends` are known.
    ended: usize,
    header: Option<Header>,
    /// Where the record that is being read begins, and where the parser is.
    record: Position,
    here: Position,
    /// The document that is written from each record.
    text: Vec<u8>,
}

/// The columns, and a document with all their names.
#[derive(Debug)]
struct Header {
    columns: Vec<Column>,
    document: Map<String, Value>,
}

/// A place in the payload, as the `csv` crate counts: lines from 1, all else from 0.
#[derive(Clone, Copy, Debug)]
struct Position {
    record: u64,
    line: u64,
    byte: u64,
}

#[derive(Debug)]
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Number,
    Boolean,
}

impl CsvReader {
    /// A reader before any of the payload.
    pub fn new(delimiter: u8) -> CsvReader {
        let start = Position { record: 0, line: 1, byte: 0 };
        CsvReader {
            parser: Box::new(ReaderBuilder::new().delimiter(delimiter).build()),
            start: Some(Vec::new()),
            fields: vec![0; 1024],
            filled: 0,
            ends: vec![0; 32],
            ended: 0,
            header: None,
            record: start,
            here: start,
            text: Vec::new(),
        }
    }

    /// How many bytes it holds.
    pub fn held(&self) -> usize {
        self.fields.len() + self.text.capacity()
    }

    /// Takes the next piece and hands out each document that ends in it.
    ///
    /// # Errors
    /// `malformed_payload` as Meilisearch words it, or what `visit` answers.
    pub fn push(
        &mut self,
        piece: &[u8],
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(), ApiError> {
        let Some(mut start) = self.start.take() else { return self.parse(piece, visit) };
        start.extend_from_slice(piece);
        if start.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&start) {
            self.start = Some(start);
            return Ok(());
        }
        self.parse(&start, visit)
    }

    /// Takes the end of the payload, and hands out the last document.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(
        &mut self,
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(), ApiError> {
        if let Some(start) = self.start.take().filter(|start| !start.is_empty()) {
            self.parse(&start, visit)?;
        }
        // To the parser nothing is the end.
        while self.step(&[], visit)?.0 != ReadRecordResult::End {}
        Ok(())
    }

    fn parse(
        &mut self,
        mut piece: &[u8],
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(), ApiError> {
        while !piece.is_empty() {
            let (_, taken) = self.step(piece, visit)?;
            piece = piece.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// One step of the parser: what came of it, and how much of the piece it took.
    fn step(
        &mut self,
        piece: &[u8],
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(ReadRecordResult, usize), ApiError> {
        let fields = self.fields.get_mut(self.filled..).unwrap_or_default();
        let ends = self.ends.get_mut(self.ended..).unwrap_or_default();
        let (result, taken, filled, ended) = self.parser.read_record(piece, fields, ends);
        self.filled += filled;
        self.ended += ended;
        self.here.byte += taken as u64;
        self.here.line = self.parser.line();
        match result {
            ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            ReadRecordResult::Record => {
                self.here.record += 1;
                self.take_record(visit)?;
                (self.filled, self.ended) = (0, 0);
                self.record = self.here;
            }
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
        }
        Ok((result, taken))
    }

    fn take_record(
        &mut self,
        visit: &mut impl FnMut(&str) -> Result<(), DocumentError>,
    ) -> Result<(), ApiError> {
        let ends = self.ends.get(..self.ended).unwrap_or_default();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let fields = starts.zip(ends).map(|(start, &end)| self.fields.get(start..end).unwrap_or_default());
        let Position { record, line, byte } = self.record;
        if let Some(header) = &self.header
            && header.columns.len() != ends.len()
        {
            return Err(refused(format!(
                "CSV error: record {record} (line: {line}, byte: {byte}): found record with {} fields, but the \
                 previous record has {} fields",
                ends.len(),
                header.columns.len()
            )));
        }
        let text = |(place, field): (usize, &'_ [u8])| {
            std::str::from_utf8(field).map(str::to_owned).map_err(|error| {
                refused(format!(
                    "CSV parse error: record {record} (line {line}, field: {place}, byte: {byte}): invalid utf-8: \
                     invalid UTF-8 in field {place} near byte index {}",
                    error.valid_up_to()
                ))
            })
        };
        let mut fields = fields.enumerate().map(text);
        let Some(header) = &mut self.header else {
            let columns: Vec<Column> =
                fields.map(|name| name.map(|name| Column::new(&name))).collect::<Result<_, _>>()?;
            let document = columns.iter().map(|column| (column.name.clone(), Value::Null)).collect();
            self.header = Some(Header { columns, document });
            return Ok(());
        };
        let fields: Vec<String> = fields.by_ref().collect::<Result<_, _>>()?;
        // Meilisearch counts records as if each were one line.
        for (column, field) in header.columns.iter().zip(fields) {
            let value = column.kind.read(field, record).map_err(refused)?;
            header.document.insert(column.name.clone(), value);
        }
        self.text.clear();
        // Values in memory can be written to memory.
        serde_json::to_writer(&mut self.text, &header.document)
            .map_err(|error| refused(error.to_string()))?;
        let document = std::str::from_utf8(&self.text).unwrap_or_default();
        visit(document).map_err(|error| match error {
            DocumentError::Refused(error) => error,
            DocumentError::Json(error) => refused(error.to_string()),
        })
    }
}

impl Column {
    /// A column of this name, which may end with its type, as in `price:number`.
    fn new(name: &str) -> Column {
        let (name, kind) = match name.rsplit_once(':') {
            Some((name, "string")) => (name, Kind::Text),
            Some((name, "number")) => (name, Kind::Number),
            Some((name, "boolean")) => (name, Kind::Boolean),
            _ => (name, Kind::Text),
        };
        Column { name: name.into(), kind }
    }
}

impl Kind {
    fn read(self, field: String, line: u64) -> Result<Value, String> {
        let trimmed = field.trim();
        match self {
            Kind::Text if field.is_empty() => Ok(Value::Null),
            Kind::Text => Ok(field.into()),
            Kind::Number | Kind::Boolean if trimmed.is_empty() => Ok(Value::Null),
            Kind::Number => {
                if let Ok(integer) = trimmed.parse::<i64>() {
                    return Ok(integer.into());
                }
                let float = trimmed.parse::<f64>();
                float
                    .map(Value::from)
                    .map_err(|error| format!("Error parsing number {field:?} at line {line}: {error}"))
            }
            Kind::Boolean => trimmed
                .parse::<bool>()
                .map(Value::from)
                .map_err(|error| format!("Error parsing boolean {field:?} at line {line}: {error}")),
        }
    }
}

fn refused(reason: String) -> ApiError {
    malformed(&format!("The `csv` payload provided is malformed: `{reason}`."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(payload: &[u8], delimiter: u8, piece: usize) -> Result<Vec<Value>, String> {
        let mut reader = CsvReader::new(delimiter);
        let mut documents = Vec::new();
        let mut visit = |document: &str| {
            documents.push(serde_json::from_str(document)?);
            Ok(())
        };
        let all = payload.chunks(piece.max(1)).try_for_each(|piece| reader.push(piece, &mut visit));
        all.and_then(|()| reader.finish(&mut visit)).map_err(|error| error.message)?;
        Ok(documents)
    }

    #[test]
    fn fields_have_the_types_that_the_header_gives_them() {
        let payload = "id:number,name:string,a:b,free:boolean,name:x\n\
                       1,\"a \"\"quoted\"\", name\",x, true ,\n\
                       -2.5,,\"two\nlines\",,y\r\n\
                       ,z,,false,";
        for piece in 1..payload.len() {
            assert_eq!(
                read(payload.as_bytes(), b',', piece),
                Ok(vec![
                    json!({"id": 1, "name": "a \"quoted\", name", "a:b": "x", "free": true, "name:x": null}),
                    json!({"id": -2.5, "name": null, "a:b": "two\nlines", "free": null, "name:x": "y"}),
                    json!({"id": null, "name": "z", "a:b": null, "free": false, "name:x": null}),
                ]),
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn a_delimiter_may_be_given_and_a_byte_order_mark_is_none_of_a_name() {
        for piece in 1..5 {
            assert_eq!(
                read("\u{feff}id;x\n1;a,b".as_bytes(), b';', piece),
                Ok(vec![json!({"id": "1", "x": "a,b"})])
            );
        }
        assert_eq!(read(b"id,x\n", b',', 9), Ok(vec![]));
        assert_eq!(read(b"\n", b',', 9), Ok(vec![]));
    }

    /// The words are those of the `csv` crate, in which Meilisearch passes them on.
    #[test]
    fn malformed_payloads_are_refused_in_meilisearchs_words() {
        let cases: [(&[u8], &str); 4] = [
            (
                b"id,x\n1,2\n3\n",
                "CSV error: record 2 (line: 3, byte: 9): found record with 1 fields, but the previous record has 2 fields",
            ),
            (b"id:number\nx\n", "Error parsing number \"x\" at line 1: invalid float literal"),
            (
                b"id:number,y:boolean\n1,true\n2,yes\n",
                "Error parsing boolean \"yes\" at line 2: provided string was not `true` or `false`",
            ),
            (
                b"id,x\n1,a\xff\n",
                "CSV parse error: record 1 (line 2, field: 1, byte: 5): invalid utf-8: invalid UTF-8 in field 1 near byte index 1",
            ),
        ];
        for (payload, reason) in cases {
            for piece in [1, 3, payload.len()] {
                let expected = format!("The `csv` payload provided is malformed: `{reason}`.");
                assert_eq!(read(payload, b',', piece), Err(expected));
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(payload: Vec<u8>, text in "[a-c:,;\"\n\r ]{0,60}", piece in 1usize..20) {
            for payload in [&payload[..], text.as_bytes()] {
                prop_assert_eq!(read(payload, b',', piece), read(payload, b',', payload.len()));
            }
        }
    }
}
