//! A search, and how it is sent.

use std::fmt;

use anyhow::{Context, Result, ensure};
use miroir_harness::Client;
use reqwest::Url;
use serde_json::{Map, Value, json};

/// A search of an index, sent by `GET` or by `POST`.
#[derive(Clone, Debug)]
pub struct Query {
    pub index: &'static str,
    pub by_get: bool,
    pub body: Map<String, Value>,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let method = if self.by_get { "GET" } else { "POST" };
        write!(f, "{method} {}: {}", self.index, Value::Object(self.body.clone()))
    }
}

impl Query {
    /// The same query with other values of some parameters.
    pub fn with(&self, changes: &Value) -> Query {
        let mut changed = self.clone();
        changed.body.extend(changes.as_object().cloned().unwrap_or_default());
        changed
    }

    /// The same query, answered with all that the ranking of the hits goes by.
    pub fn ranked(&self) -> Query {
        let mut ranked = self.with(&json!({ "showRankingScore": true, "showRankingScoreDetails": true }));
        if let Some(Value::Array(attributes)) = ranked.body.get_mut("attributesToRetrieve")
            && !attributes.iter().any(|attribute| attribute == "id" || attribute == "*")
        {
            attributes.push("id".into());
        }
        ranked
    }

    /// What the query would show of these documents.
    pub fn of_documents(&self, ids: &[String]) -> Query {
        let mut these = self.with(&json!({ "offset": 0, "limit": ids.len() }));
        for key in ["page", "hitsPerPage", "distinct", "facets"] {
            these.body.remove(key);
        }
        these.only(ids)
    }

    /// The same query of these documents alone.
    pub fn only(&self, ids: &[String]) -> Query {
        let mut only = self.clone();
        let these_ids = json!(format!("id IN {}", json!(ids)));
        let filter = match only.body.remove("filter") {
            None => json!([these_ids]),
            Some(Value::Array(mut conditions)) => {
                conditions.push(these_ids);
                conditions.into()
            }
            Some(condition) => json!([condition, these_ids]),
        };
        only.body.insert("filter".into(), filter);
        only.by_get = false;
        only
    }

    /// The same query without numbered pages.
    pub fn on_one_page(&self) -> Query {
        let mut one_page = self.clone();
        one_page.body.retain(|parameter, _| !["page", "hitsPerPage"].contains(&&**parameter));
        one_page
    }

    /// Whether the engine guesses totals and facets: what a threshold or a distinct attribute leaves out it may count
    /// where it stops because the page is full, or does not begin because the page is beyond the end or there is none.
    pub fn counts_are_guesses(&self, hits: usize) -> bool {
        let number = |name, default| self.body.get(name).and_then(Value::as_u64).unwrap_or(default);
        let length = number(if self.is_paged() { "hitsPerPage" } else { "limit" }, 20);
        let is_beyond = hits == 0 && (number("offset", 0) > 0 || number("page", 1) != 1);
        let narrows = ["rankingScoreThreshold", "distinct"].iter().any(|key| self.body.contains_key(*key));
        narrows && (hits as u64 >= length || is_beyond)
    }

    /// Whether its pages are numbered.
    pub fn is_paged(&self) -> bool {
        ["page", "hitsPerPage"].iter().any(|key| self.body.contains_key(*key))
    }

    /// Sends it.
    ///
    /// # Errors
    /// With the query, if it is not answered in full.
    pub async fn send(&self, client: &Client) -> Result<Value> {
        let path = format!("/indexes/{}/search", self.index);
        let answer = match self.by_get {
            true => client.get(&format!("{path}?{}", self.parameters()?)).await,
            false => client.post(&path, &self.body).await,
        };
        let answer = answer.with_context(|| self.to_string())?;
        let degraded = answer.header("x-miroir-degraded");
        ensure!(degraded.is_none(), "{self}\nis answered in part: {degraded:?}");
        ensure!(!answer.text().contains("_miroir"), "{self}\nshows Miroir's own: {}", answer.text());
        answer.ok().with_context(|| self.to_string())
    }

    fn parameters(&self) -> Result<String> {
        let mut url = Url::parse("http://unused")?;
        for (key, value) in &self.body {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Array(items) if key != "filter" => {
                    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
                }
                other => other.to_string(),
            };
            url.query_pairs_mut().append_pair(key, &text);
        }
        Ok(url.query().unwrap_or_default().to_owned())
    }
}
