//! The documents of a run. Each belongs to one writer, which gives it increasing versions.

use serde_json::{Value, json};

/// The documents of a writer are dealt out to so many buckets; one can be deleted by a filter.
pub const BUCKETS: u16 = 4;

/// A word for each bucket, each too far from the others to be taken for a misspelt one.
const WORDS: [&str; BUCKETS as usize] = ["granite", "lantern", "whisper", "orchard"];

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub writer: u16,
    pub number: u16,
}

impl Key {
    /// Its primary key.
    pub fn id(self) -> String {
        format!("w{}-{}", self.writer, self.number)
    }

    pub fn parse(id: &str) -> Option<Key> {
        let (writer, number) = id.strip_prefix('w')?.split_once('-')?;
        Some(Key { writer: writer.parse().ok()?, number: number.parse().ok()? })
    }

    pub fn bucket(self) -> u16 {
        self.number % BUCKETS
    }
}

/// What a document holds beyond what its key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// The attempt that wrote it last.
    pub version: u64,
    /// The attempt that wrote the whole of it last; `None` if it was made by a partial update.
    pub base: Option<u64>,
}

/// A document, or that there is none.
pub type State = Option<Content>;

/// The word by which a search finds the documents of a bucket.
pub fn word(bucket: u16) -> &'static str {
    WORDS[usize::from(bucket % BUCKETS)]
}

/// A document as a partial update sends it: all but the base.
pub fn partial(key: Key, version: u64) -> Value {
    json!({
        "id": key.id(), "writer": key.writer, "number": key.number, "bucket": format!("b{}", key.bucket()),
        "version": version, "words": format!("everything {}", word(key.bucket())),
    })
}

/// A whole document.
pub fn whole(key: Key, version: u64) -> Value {
    let mut document = partial(key, version);
    document["base"] = version.into();
    document
}

/// Reads a document; `None` if it is none of ours or was changed by nobody we know.
pub fn read(document: &Value) -> Option<(Key, Content)> {
    let key = Key::parse(document["id"].as_str()?)?;
    let content = Content { version: document["version"].as_u64()?, base: document["base"].as_u64() };
    let mut expected = partial(key, content.version);
    if let Some(base) = content.base {
        expected["base"] = base.into();
    }
    let fields = |value: &Value| value.as_object().map(|fields| fields.len());
    let is_same = expected.as_object()?.iter().all(|(name, value)| document[name] == *value);
    (is_same && fields(document) == fields(&expected)).then_some((key, content))
}
