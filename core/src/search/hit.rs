//! One hit of a node's answer: found in its text, and written for the client without what is Miroir's own.

use serde_json::Value;

use crate::json::{self, Cursor, Member, NotJson, ObjectWriter};
use crate::search::rank::{RankKey, Rule};
use crate::search::values;
use crate::tag::TAG_FIELD;

const SCORE: &[u8] = b"_rankingScore";
const DETAILS: &[u8] = b"_rankingScoreDetails";
const FORMATTED: &[u8] = b"_formatted";
const MATCHES: &[u8] = b"_matchesPosition";
const TAG: &[u8] = TAG_FIELD.as_bytes();

/// How hits are to be read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// By the rules in the score details, or by the score.
    pub by_details: bool,
    /// Whether they are compared with hits of other searches.
    pub by_values: bool,
    /// The distinct attribute.
    pub distinct: Option<String>,
    /// Whether the hits carry what merging needs: not if the node answers alone.
    pub ranked: bool,
}

/// What merging reads of a hit.
#[derive(Debug)]
pub struct HitRank {
    /// Where it stands.
    pub key: RankKey,
    /// `_rankingScore`.
    pub score: f64,
    /// What to compare with hits of other searches; empty if they are not compared.
    pub values: Box<[Rule]>,
    /// The values of the distinct attribute, if one was named.
    pub distinct: Box<[DistinctValue]>,
    /// Where the hit's text ends for a client, in bytes, if all that was added for merging comes after it. `None` if
    /// the hit has to be looked through.
    pub shown_end: Option<usize>,
}

/// A value of the distinct attribute, as Meilisearch tells values apart: numbers by value, strings by their
/// normalised form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DistinctValue {
    /// The bits of the number.
    Number(u64),
    /// The normalised string.
    String(String),
}

/// Reads what merging needs of the hit at the cursor.
///
/// # Errors
/// [`NotJson`] if there is no object, or it lacks the score that was asked for.
pub fn read_rank(hit: &mut Cursor, reading: &Reading) -> Result<HitRank, NotJson> {
    let start = hit.at();
    let mut score: Option<f64> = None;
    let mut details = None;
    let mut distinct = Vec::new();
    let mut shown = Shown { end: Some(1), is_over: false };
    hit.object(|cursor, key| {
        let value = cursor.skip()?;
        match key.name {
            SCORE => {
                shown.is_over = true;
                score = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            }
            DETAILS => {
                shown.is_over = true;
                details = Some(value);
            }
            TAG => shown.is_over = true,
            FORMATTED | MATCHES => shown.end = None,
            name => {
                shown.extend(cursor.at() - start);
                if let Some(rest) = reading.distinct.as_deref().and_then(|path| path_below(path, name))
                    && let Ok(value) = serde_json::from_slice::<Value>(value)
                {
                    collect_distinct(&value, rest, &mut distinct);
                }
            }
        }
        Ok(())
    })?;
    let score = score.ok_or(NotJson)?;
    let detailed = match reading.by_details || reading.by_values {
        true => RankKey::from_details(details.ok_or(NotJson)?)?,
        false => RankKey::Score(score),
    };
    let values = match &detailed {
        RankKey::Rules(rules) if reading.by_values => values::of_rules(rules, score).into(),
        _ => Box::default(),
    };
    let key = if reading.by_details { detailed } else { RankKey::Score(score) };
    Ok(HitRank { key, score, values, distinct: distinct.into(), shown_end: shown.end })
}

/// What of a hit comes before all that was added for merging.
struct Shown {
    /// `None` if something that has to be looked at comes after it, or in between.
    end: Option<usize>,
    is_over: bool,
}

impl Shown {
    /// A member that clients see ends at `end`.
    fn extend(&mut self, end: usize) {
        self.end = self.end.and(Some(end)).filter(|_| !self.is_over);
    }
}

fn collect_distinct(value: &Value, path: &str, values: &mut Vec<DistinctValue>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_distinct(item, path, values)),
        Value::Object(object) => {
            for (key, value) in object {
                let rest = path.strip_prefix(key.as_str());
                match rest.and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }) {
                    Some(rest) => collect_distinct(value, rest, values),
                    None => continue,
                }
            }
        }
        Value::Number(number) if path.is_empty() => {
            values.extend(number.as_f64().map(|number| DistinctValue::Number(number.to_bits())));
        }
        Value::String(text) if path.is_empty() => {
            values.push(DistinctValue::String(super::facets::normalize(text).into_owned()));
        }
        Value::Bool(flag) if path.is_empty() => values.push(DistinctValue::String(flag.to_string())),
        _ => {}
    }
}

/// What the client may see of a hit.
#[derive(Clone, Debug, Default)]
pub struct HitView {
    /// Whether it asked for `_rankingScore`.
    pub score: bool,
    /// Whether it asked for `_rankingScoreDetails`.
    pub details: bool,
    /// An attribute that was added for merging.
    pub without: Option<String>,
    /// The index's `displayedAttributes`; `None` for all.
    pub displayed: Option<Vec<String>>,
}

impl HitView {
    /// Appends the hit as the client may see it.
    ///
    /// # Errors
    /// [`NotJson`] if the hit is not an object.
    pub fn write(&self, hit: &[u8], rank: Option<&HitRank>, mut out: Vec<u8>) -> Result<Vec<u8>, NotJson> {
        if let Some(shown) = rank.and_then(|rank| hit.get(..rank.shown_end?)).filter(|_| self.is_plain()) {
            out.extend_from_slice(shown);
            out.push(b'}');
            return Ok(out);
        }
        let mut object = ObjectWriter::new(out);
        json::for_each_member(hit, |member| match member.key {
            SCORE if !self.score => {}
            DETAILS if !self.details => {}
            DETAILS if self.displayed.is_some() => self.write_details(member, &mut object),
            FORMATTED => self.write_formatted(member, &mut object),
            MATCHES if self.displayed.is_some() => self.write_matches(member, &mut object),
            TAG => {}
            key => match self.without.as_deref().and_then(|path| path_below(path, key)) {
                None => object.member(member.text),
                Some("") => {}
                Some(rest) => write_without(member, rest, &mut object),
            },
        })?;
        Ok(object.finish())
    }

    /// Whether it shows the document and nothing else.
    fn is_plain(&self) -> bool {
        !self.score && !self.details && self.without.is_none()
    }

    fn write_formatted(&self, member: Member, object: &mut ObjectWriter) {
        let mut formatted = ObjectWriter::new(Vec::with_capacity(member.value.len()));
        let written = json::for_each_member(member.value, |field| {
            let is_added = self.without.as_deref().is_some_and(|path| path_below(path, field.key).is_some());
            if field.key != TAG && !is_added {
                formatted.member(field.text);
            }
        });
        match written {
            Ok(()) => object.key("_formatted").extend_from_slice(&formatted.finish()),
            Err(NotJson) => object.member(member.text),
        }
    }

    /// Meilisearch finds matches in displayed attributes only.
    fn write_matches(&self, member: Member, object: &mut ObjectWriter) {
        let mut matches = ObjectWriter::new(Vec::with_capacity(member.value.len()));
        let written = json::for_each_member(member.value, |field| {
            if self.displays(&String::from_utf8_lossy(field.key)) {
                matches.member(field.text);
            }
        });
        match written {
            Ok(()) => object.key("_matchesPosition").extend_from_slice(&matches.finish()),
            Err(NotJson) => object.member(member.text),
        }
    }

    /// Meilisearch hides the values of sorts by attributes that are not displayed.
    fn write_details(&self, member: Member, object: &mut ObjectWriter) {
        let Ok(Value::Object(details)) = serde_json::from_slice(member.value) else { return };
        let hidden = details.into_iter().map(|(rule, mut detail)| {
            let attribute = rule.rsplit_once(':').map(|(attribute, _)| attribute);
            match attribute {
                Some(name) if !name.starts_with("_geo") && !self.is_displayed_exactly(name) => {
                    let order = detail.get("order").cloned().unwrap_or_default();
                    if let Some(value) = detail.get_mut("value") {
                        *value = "<hidden>".into();
                    }
                    (format!("<hidden-rule-{order}>"), detail)
                }
                _ => (rule, detail),
            }
        });
        let hidden: serde_json::Map<String, Value> = hidden.collect();
        object.value("_rankingScoreDetails", &hidden);
    }

    fn is_displayed_exactly(&self, attribute: &str) -> bool {
        self.displayed.as_ref().is_none_or(|displayed| displayed.iter().any(|name| name == attribute))
    }

    fn displays(&self, path: &str) -> bool {
        let covers = |name: &String| path_below(path, name.as_bytes()).is_some();
        self.displayed.as_ref().is_none_or(|displayed| displayed.iter().any(covers))
    }
}

/// What is left of `path` below the field `key`: empty for the field itself, `None` if it is elsewhere.
fn path_below<'p>(path: &'p str, key: &[u8]) -> Option<&'p str> {
    let rest = path.strip_prefix(std::str::from_utf8(key).ok()?)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// Writes an object member without the value at `path` inside of it; nothing if no other is left.
fn write_without(member: Member, path: &str, object: &mut ObjectWriter) {
    let Ok(mut value) = serde_json::from_slice::<Value>(member.value) else { return };
    remove_path(&mut value, path);
    let is_empty = value.as_object().is_some_and(|object| object.is_empty());
    if let (false, Ok(key)) = (is_empty, std::str::from_utf8(member.key)) {
        object.value(key, &value);
    }
}

fn remove_path(value: &mut Value, path: &str) {
    match value {
        Value::Object(object) => {
            object.remove(path);
            if let Some((first, rest)) = path.split_once('.')
                && let Some(inner) = object.get_mut(first)
            {
                remove_path(inner, rest);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove_path(item, path)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn shown(view: &HitView, hit: &str) -> String {
        let looked_through = view.write(hit.as_bytes(), None, Vec::new()).unwrap();
        if let Ok(rank) = read_rank(&mut Cursor::new(hit.as_bytes()), &Reading::default()) {
            assert_eq!(view.write(hit.as_bytes(), Some(&rank), Vec::new()).unwrap(), looked_through);
        }
        String::from_utf8(looked_through).unwrap()
    }

    #[test]
    fn the_tag_and_what_was_not_asked_for_are_taken_out() {
        let hit = r#"{"id":1,"_miroir_shard":"⸀","t":"x","_formatted":{"id":"1","_miroir_shard":"⸀"},"_rankingScore":0.5,"_rankingScoreDetails":{}}"#;
        let view = HitView::default();
        assert_eq!(shown(&view, hit), r#"{"id":1,"t":"x","_formatted":{"id":"1"}}"#);
        let view = HitView { score: true, ..view };
        assert!(shown(&view, hit).ends_with(r#""_rankingScore":0.5}"#));
    }

    #[test]
    fn wherever_what_was_added_stands_it_is_taken_out() {
        for (hit, expected) in [
            (r#"{"id":1,"_miroir_shard":"⸀","_rankingScore":0.5}"#, r#"{"id":1}"#),
            (r#"{"id":1,"_miroir_shard":"⸀","t":"x","_rankingScore":0.5}"#, r#"{"id":1,"t":"x"}"#),
            (r#"{"_miroir_shard":"⸀","_rankingScore":0.5}"#, "{}"),
            (r#"{"id":1,"_rankingScoreDetails":{},"_rankingScore":0.5}"#, r#"{"id":1}"#),
            (
                r#"{"id":1,"_formatted":{"id":"1","_miroir_shard":"⸀"},"_rankingScore":0.5}"#,
                r#"{"id":1,"_formatted":{"id":"1"}}"#,
            ),
            (r#"{"id":1,"_rankingScore":0.5,"t":"x"}"#, r#"{"id":1,"t":"x"}"#),
        ] {
            assert_eq!(shown(&HitView::default(), hit), expected);
        }
    }

    #[test]
    fn an_attribute_added_for_merging_is_taken_out_again() {
        let view = HitView { without: Some("a.b".into()), ..HitView::default() };
        assert_eq!(shown(&view, r#"{"id":1,"a":{"b":2,"c":3}}"#), r#"{"id":1,"a":{"c":3}}"#);
        assert_eq!(shown(&view, r#"{"id":1,"a":{"b":2}}"#), r#"{"id":1}"#);
    }

    #[test]
    fn what_is_not_displayed_stays_hidden() {
        let view = HitView { details: true, displayed: Some(vec!["t".into()]), ..HitView::default() };
        let hit = r#"{"t":"x","_matchesPosition":{"t":[],"t.a":[],"s":[]},"_rankingScoreDetails":{"s:asc":{"order":0,"value":7}}}"#;
        let expected = r#"{"t":"x","_matchesPosition":{"t":[],"t.a":[]},"_rankingScoreDetails":{"<hidden-rule-0>":{"order":0,"value":"<hidden>"}}}"#;
        assert_eq!(shown(&view, hit), expected);
    }

    #[test]
    fn distinct_values_are_found_in_depth_and_in_lists() {
        let mut hit = Cursor::new(br#"{"a":{"b":["X",7]},"_rankingScore":1}"#);
        let reading = Reading { distinct: Some("a.b".into()), ..Reading::default() };
        let rank = read_rank(&mut hit, &reading).unwrap();
        let expected = [DistinctValue::String("x".into()), DistinctValue::Number(7f64.to_bits())];
        assert_eq!(*rank.distinct, expected);
    }

    #[test]
    fn a_hit_without_a_score_is_garbage() {
        assert!(read_rank(&mut Cursor::new(br#"{"id":1}"#), &Reading::default()).is_err());
    }
}
