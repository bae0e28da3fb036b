//! The values that settings take, where the engine's own types do not speak Meilisearch's JSON.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, ValuePointerRef, take_cf_content};
use milli_core::tokenizer::Language;
use milli_core::update::Setting;
use milli_core::{AttributePatterns, Criterion, OrderBy, index, proximity};
use serde::{Deserialize, Serialize, Serializer};

use crate::http::invalid::Reason;

/// Writes reset attributes as what they then are: all of them.
pub fn or_all<S: Serializer>(attributes: &Setting<Vec<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    match attributes {
        Setting::Set(attributes) => serializer.collect_seq(attributes),
        Setting::Reset => serializer.collect_seq(["*"]),
        Setting::NotSet => serializer.serialize_none(),
    }
}

/// A ranking rule, written as Meilisearch does: `words`, `price:asc`.
#[derive(Debug, Clone, PartialEq, Eq, deserr::Deserr)]
#[deserr(try_from(String) = RankingRule::parse -> Reason)]
pub struct RankingRule(pub Criterion);

impl RankingRule {
    fn parse(text: String) -> Result<Self, Reason> {
        Criterion::from_str(&text).map(Self).map_err(Reason::new)
    }
}

impl Serialize for RankingRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RankingRule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text).map_err(|reason| serde::de::Error::custom(reason.0))
    }
}

/// How exactly the distance between words counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
#[allow(missing_docs)]
pub enum ProximityPrecision {
    #[default]
    ByWord,
    ByAttribute,
}

impl From<ProximityPrecision> for proximity::ProximityPrecision {
    fn from(precision: ProximityPrecision) -> Self {
        match precision {
            ProximityPrecision::ByWord => Self::ByWord,
            ProximityPrecision::ByAttribute => Self::ByAttribute,
        }
    }
}

impl From<proximity::ProximityPrecision> for ProximityPrecision {
    fn from(precision: proximity::ProximityPrecision) -> Self {
        match precision {
            proximity::ProximityPrecision::ByWord => Self::ByWord,
            proximity::ProximityPrecision::ByAttribute => Self::ByAttribute,
        }
    }
}

/// Whether the beginnings of words are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
#[allow(missing_docs)]
pub enum PrefixSearch {
    #[default]
    IndexingTime,
    Disabled,
}

impl From<PrefixSearch> for index::PrefixSearch {
    fn from(prefix_search: PrefixSearch) -> Self {
        match prefix_search {
            PrefixSearch::IndexingTime => Self::IndexingTime,
            PrefixSearch::Disabled => Self::Disabled,
        }
    }
}

impl From<index::PrefixSearch> for PrefixSearch {
    fn from(prefix_search: index::PrefixSearch) -> Self {
        match prefix_search {
            index::PrefixSearch::IndexingTime => Self::IndexingTime,
            index::PrefixSearch::Disabled => Self::Disabled,
        }
    }
}

/// The order of a facet's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase)]
#[allow(missing_docs)]
pub enum FacetValuesOrder {
    #[default]
    Alpha,
    Count,
}

impl From<FacetValuesOrder> for OrderBy {
    fn from(order: FacetValuesOrder) -> Self {
        match order {
            FacetValuesOrder::Alpha => Self::Lexicographic,
            FacetValuesOrder::Count => Self::Count,
        }
    }
}

impl From<OrderBy> for FacetValuesOrder {
    fn from(order: OrderBy) -> Self {
        match order {
            OrderBy::Lexicographic => Self::Alpha,
            OrderBy::Count => Self::Count,
        }
    }
}

/// How long a word has to be to be found with one mistake, and with two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase", default)]
#[deserr(rename_all = camelCase, deny_unknown_fields, validate = WordSizes::validate -> __Deserr_E)]
#[allow(missing_docs)]
pub struct WordSizes {
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub one_typo: Setting<u8>,
    #[serde(skip_serializing_if = "Setting::is_not_set")]
    #[deserr(default)]
    pub two_typos: Setting<u8>,
}

impl WordSizes {
    fn validate<E: DeserializeError>(self, location: ValuePointerRef) -> Result<Self, E> {
        match (self.one_typo, self.two_typos) {
            (Setting::Set(one), Setting::Set(two)) if one > two => {
                let error = milli_core::UserError::InvalidMinTypoWordLenSetting(one, two);
                let reason = ErrorKind::Unexpected { msg: error.to_string() };
                Err(take_cf_content(E::error::<Infallible>(None, reason, location)))
            }
            _ => Ok(self),
        }
    }
}

/// Which languages some attributes are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, deserr::Deserr)]
#[serde(rename_all = "camelCase")]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LocalizedAttributesRule {
    pub attribute_patterns: AttributePatterns,
    pub locales: Vec<Locale>,
}

impl From<LocalizedAttributesRule> for milli_core::LocalizedAttributesRule {
    fn from(rule: LocalizedAttributesRule) -> Self {
        Self {
            attribute_patterns: rule.attribute_patterns,
            locales: rule.locales.into_iter().map(|locale| locale.language).collect(),
        }
    }
}

impl From<milli_core::LocalizedAttributesRule> for LocalizedAttributesRule {
    fn from(rule: milli_core::LocalizedAttributesRule) -> Self {
        let locale = |language: Language| Locale { language, short: false };
        Self {
            attribute_patterns: rule.attribute_patterns,
            locales: rule.locales.into_iter().map(locale).collect(),
        }
    }
}

/// A language by its ISO 639-3 code, or by the ISO 639-1 code it was given by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locale {
    /// The language.
    pub language: Language,
    short: bool,
}

/// ISO 639-1 codes and the ISO 639-3 codes of the languages the tokenizer knows.
const LANGUAGES: [(&str, &str); 70] = [
    ("af", "afr"),
    ("ak", "aka"),
    ("am", "amh"),
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bn", "ben"),
    ("bg", "bul"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("et", "est"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("it", "ita"),
    ("jv", "jav"),
    ("ja", "jpn"),
    ("kn", "kan"),
    ("ka", "kat"),
    ("km", "khm"),
    ("ko", "kor"),
    ("la", "lat"),
    ("lv", "lav"),
    ("lt", "lit"),
    ("ml", "mal"),
    ("mr", "mar"),
    ("mk", "mkd"),
    ("my", "mya"),
    ("ne", "nep"),
    ("nl", "nld"),
    ("nb", "nob"),
    ("or", "ori"),
    ("pa", "pan"),
    ("fa", "pes"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("si", "sin"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sn", "sna"),
    ("es", "spa"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("te", "tel"),
    ("tl", "tgl"),
    ("th", "tha"),
    ("tk", "tuk"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("uz", "uzb"),
    ("vi", "vie"),
    ("yi", "yid"),
    ("zh", "zho"),
    ("zu", "zul"),
    ("", "cmn"),
];

impl Locale {
    fn parse(code: &str) -> Option<Self> {
        let mut known = LANGUAGES.iter();
        let (short, long) =
            known.find(|(short, long)| !code.is_empty() && (code == *short || code == *long))?;
        Some(Self { language: Language::from_code(long)?, short: code == *short })
    }
}

impl<E: DeserializeError> Deserr<E> for Locale {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        let code = String::deserialize_from_value(value, location)?;
        Self::parse(&code).ok_or_else(|| {
            let codes =
                LANGUAGES.iter().map(|(short, _)| *short).chain(LANGUAGES.iter().map(|(_, long)| *long));
            let codes: Vec<_> = codes.filter(|code| !code.is_empty()).collect();
            let unknown = ErrorKind::UnknownValue { value: &code, accepted: &codes };
            take_cf_content(E::error::<Infallible>(None, unknown, location))
        })
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.language.code();
        match LANGUAGES.iter().find(|(_, long)| *long == code) {
            Some((short, _)) if self.short => f.write_str(short),
            _ => f.write_str(code),
        }
    }
}

impl Serialize for Locale {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Locale {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).ok_or_else(|| serde::de::Error::custom("not a language"))
    }
}
