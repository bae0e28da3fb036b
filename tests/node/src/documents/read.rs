//! Reading documents without searching: one by its id, or some of them page by page.

use milli_core::documents::validate_document_id_value;
use milli_core::heed::RoTxn;
use milli_core::{Index, Object, all_obkv_to_json};
use roaring::RoaringBitmap;
use serde::Serialize;
use serde_json::Value;

use super::pointer;
use super::sort;
use crate::error::{ResponseError, Result};
use crate::http::request::Parameter;
use crate::search::request::network_is_disabled;
use crate::search::{embedders, filter};

/// What to read of the documents.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct BrowseRequest {
    #[deserr(default)]
    pub offset: usize,
    #[deserr(default = 20)]
    pub limit: usize,
    #[deserr(default)]
    pub fields: Option<Vec<String>>,
    #[deserr(default)]
    pub retrieve_vectors: bool,
    #[deserr(default)]
    pub ids: Option<Vec<Value>>,
    #[deserr(default)]
    pub filter: Option<Value>,
    #[deserr(default)]
    pub sort: Option<Vec<String>>,
    #[deserr(default)]
    pub use_network: Option<bool>,
}

/// The parameters of a browse by GET.
pub const BROWSE_PARAMETERS: [(&str, Parameter); 8] = [
    ("offset", Parameter::Integer),
    ("limit", Parameter::Integer),
    ("fields", Parameter::List),
    ("retrieveVectors", Parameter::Boolean),
    ("ids", Parameter::List),
    ("filter", Parameter::Filter),
    ("sort", Parameter::Sort),
    ("useNetwork", Parameter::Boolean),
];

/// What to read of one document.
#[derive(Debug, Clone, deserr::Deserr)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct DocumentRequest {
    #[deserr(default)]
    pub fields: Option<Vec<String>>,
    #[deserr(default)]
    pub retrieve_vectors: bool,
    #[deserr(default)]
    pub use_network: Option<bool>,
}

/// The parameters of the reading of one document.
pub const DOCUMENT_PARAMETERS: [(&str, Parameter); 3] = [
    ("fields", Parameter::List),
    ("retrieveVectors", Parameter::Boolean),
    ("useNetwork", Parameter::Boolean),
];

/// A page of documents.
#[derive(Debug, Serialize)]
pub struct Page {
    results: Vec<Object>,
    offset: usize,
    limit: usize,
    total: u64,
}

/// Reads a page of documents.
pub fn browse(index: &Index, request: BrowseRequest) -> Result<Page> {
    check_network(request.use_network)?;
    let rtxn = index.read_txn()?;
    let sort = request.sort.as_deref().map(sort::parse).transpose()?;
    let filter = request.filter.as_ref().map(|filter| filter::parse(filter, "invalid_document_filter"));
    let mut documents = match &request.ids {
        Some(ids) => with_ids(index, &rtxn, ids)?,
        None => index.documents_ids(&rtxn)?,
    };
    if let Some(filter) = filter.transpose()?.flatten() {
        let matching = filter.evaluate(&rtxn, index).map_err(|error| {
            let error = ResponseError::from(error);
            if error.code == "invalid_search_filter" {
                error.with_code("invalid_document_filter")
            } else {
                error
            }
        })?;
        documents &= matching;
    }
    let total = documents.len();
    let page: Vec<u32> = match sort {
        Some(sort) => sort::page(index, &rtxn, &sort, documents, request.offset, request.limit)?,
        None => documents.into_iter().skip(request.offset).take(request.limit).collect(),
    };
    let results = page
        .into_iter()
        .map(|document| read(index, &rtxn, document, request.fields.as_deref(), request.retrieve_vectors))
        .collect::<Result<_>>()?;
    Ok(Page { results, offset: request.offset, limit: request.limit, total })
}

/// Reads one document.
pub fn document(index: &Index, id: &str, request: &DocumentRequest) -> Result<Object> {
    check_network(request.use_network)?;
    let rtxn = index.read_txn()?;
    let document = index.external_documents_ids().get(&rtxn, id)?;
    let document = document.ok_or_else(|| ResponseError::document_not_found(id))?;
    read(index, &rtxn, document, request.fields.as_deref(), request.retrieve_vectors)
}

fn check_network(use_network: Option<bool>) -> Result<()> {
    use_network.map_or(Ok(()), |_| Err(network_is_disabled()))
}

fn with_ids(index: &Index, rtxn: &RoTxn, ids: &[Value]) -> Result<RoaringBitmap> {
    let external_ids = index.external_documents_ids();
    let mut documents = RoaringBitmap::new();
    for (position, id) in ids.iter().enumerate() {
        let id = validate_document_id_value(id.clone()).map_err(|error| {
            ResponseError::new("invalid_document_ids", format!("In `.ids[{position}]`: {error}"))
        })?;
        documents.extend(external_ids.get(rtxn, id)?);
    }
    Ok(documents)
}

fn read(
    index: &Index,
    rtxn: &RoTxn,
    id: u32,
    fields: Option<&[String]>,
    with_vectors: bool,
) -> Result<Object> {
    let stored = all_obkv_to_json(index.document(rtxn, id)?, &index.fields_ids_map(rtxn)?)?;
    let mut document = match fields {
        Some(fields) if !fields.iter().any(|field| field == "*") => {
            let fields: Vec<_> = fields.iter().map(String::as_str).collect();
            pointer::select(&stored, &fields)
        }
        _ => stored,
    };
    let vectors = document.remove("_vectors");
    if with_vectors {
        document.insert("_vectors".to_string(), embedders::vectors(index, rtxn, id, vectors)?);
    }
    Ok(document)
}
