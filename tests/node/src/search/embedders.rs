//! The embedders of an index.

use std::collections::HashMap;
use std::sync::Arc;

use milli_core::Index;
use milli_core::heed::RoTxn;
use milli_core::prompt::Prompt;
use milli_core::vector::{Embedder, EmbeddingConfigs};
use serde_json::{Map, Value, json};

use crate::error::{ResponseError, Result};

/// The embedders of an index, ready to embed.
pub fn load(index: &Index, rtxn: &RoTxn) -> Result<EmbeddingConfigs> {
    let mut embedders = HashMap::new();
    for config in index.embedding_configs(rtxn)? {
        let invalid = |error: String| ResponseError::new("invalid_settings_embedders", error);
        let quantized = config.config.quantized();
        let prompt = Prompt::try_from(config.config.prompt).map_err(|error| invalid(error.to_string()))?;
        let embedder =
            Embedder::new(config.config.embedder_options, 0).map_err(|error| invalid(error.to_string()))?;
        embedders.insert(config.name, (Arc::new(embedder), Arc::new(prompt), quantized));
    }
    Ok(EmbeddingConfigs::new(embedders))
}

/// A document's vectors as `_vectors` shows them, over those that were stored in the document itself.
pub fn vectors(index: &Index, rtxn: &RoTxn, document: u32, stored: Option<Value>) -> Result<Value> {
    let mut vectors = match stored {
        Some(Value::Object(stored)) => stored,
        _ => Map::new(),
    };
    let configs = index.embedding_configs(rtxn)?;
    for (name, embeddings) in index.embeddings(rtxn, document)? {
        let config = configs.iter().find(|config| config.name == name);
        let regenerate = !config.is_some_and(|config| config.user_provided.contains(document));
        vectors.insert(name, json!({ "embeddings": embeddings, "regenerate": regenerate }));
    }
    Ok(vectors.into())
}
