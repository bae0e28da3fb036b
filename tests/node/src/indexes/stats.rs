//! `/stats` and `/indexes/{uid}/stats`.

use milli_core::Index;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::error::Result;

/// How sizes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, deserr::Deserr)]
#[deserr(rename_all = camelCase)]
pub enum SizeFormat {
    /// `1.50 MiB`.
    Human,
    /// In bytes.
    Raw,
}

/// What the stats routes can be asked.
#[derive(Debug, Clone, Copy, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
pub struct StatsQuery {
    /// Also tell the size of each of the engine's databases.
    #[deserr(default)]
    pub show_internal_database_sizes: bool,
    /// How sizes are written.
    #[deserr(default = SizeFormat::Raw)]
    pub size_format: SizeFormat,
}

impl SizeFormat {
    /// A size in this format.
    pub fn write(self, bytes: u64) -> Value {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

        if self == Self::Raw {
            return bytes.into();
        }
        let mut size = bytes as f64;
        let mut unit = 0;
        while size >= 1024.0 && unit + 1 < UNITS.len() {
            size /= 1024.0;
            unit += 1;
        }
        format!("{size:.2} {}", UNITS[unit]).into()
    }
}

/// The stats of one index.
pub fn index_stats(index: &Index, is_indexing: bool, query: StatsQuery) -> Result<Value> {
    let rtxn = index.read_txn()?;
    let documents = index.documents_stats(&rtxn)?.unwrap_or_default();
    let format = query.size_format;

    let mut stats = json!({
        "numberOfDocuments": index.number_of_documents(&rtxn)?,
        "rawDocumentDbSize": format.write(documents.total_size()),
        "avgDocumentSize": format.write(documents.average_value_size()),
        "isIndexing": is_indexing,
    });
    if query.show_internal_database_sizes {
        let sizes = index.database_sizes(&rtxn)?.into_iter();
        let sizes: Map<_, _> =
            sizes.map(|(name, size)| (camel_case(name), format.write(size as u64))).collect();
        stats["internalDatabaseSizes"] = sizes.into();
    }
    let embeddings = index.arroy_stats(&rtxn)?;
    stats["numberOfEmbeddings"] = embeddings.number_of_embeddings.into();
    stats["numberOfEmbeddedDocuments"] = embeddings.documents.len().into();
    stats["fieldDistribution"] = serde_json::to_value(index.field_distribution(&rtxn)?)?;
    Ok(stats)
}

/// What an index takes on disk, what it uses of that, and when it last changed.
pub fn footprint(index: &Index) -> Result<(u64, u64, OffsetDateTime)> {
    let rtxn = index.read_txn()?;
    Ok((index.on_disk_size()?, index.used_size()?, index.updated_at(&rtxn)?))
}

fn camel_case(snake_case: &str) -> String {
    let mut words = snake_case.split('_');
    let first = words.next().unwrap_or_default().to_string();
    words.fold(first, |mut name, word| {
        let mut characters = word.chars();
        name.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(characters.as_str());
        name
    })
}
