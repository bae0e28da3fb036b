//! Makes up queries as people ask them, of words that the documents hold. The same seed makes the same queries.

use fastrand::Rng;
use miroir_harness::Package;
use serde_json::{Map, Value, json};

use crate::corpus::{INDEXES, draw};
use crate::query::Query;

/// Makes up so many queries.
pub fn generate(documents: &[Package], count: usize, seed: u64) -> Vec<Query> {
    let mut generator = Generator { documents, random: Rng::with_seed(seed) };
    (0..count).map(|number| generator.query(INDEXES[number % INDEXES.len()])).collect()
}

struct Generator<'a> {
    documents: &'a [Package],
    random: Rng,
}

/// Makes up a value of some parameter.
type Parameter<'a> = fn(&mut Generator<'a>) -> Value;

impl<'a> Generator<'a> {
    fn query(&mut self, index: &'static str) -> Query {
        let mut body = Map::new();
        let mut add = |parameters: Value| body.extend(parameters.as_object().cloned().unwrap_or_default());
        add(self.words());
        add(self.window());
        let parameters: [(u32, Parameter<'a>); 12] = [
            (35, Self::filter),
            (25, Self::sort),
            (30, Self::facets),
            (15, Self::retrieved),
            (15, Self::highlighted),
            (15, Self::cropped),
            (12, |_| json!({ "showMatchesPosition": true })),
            (25, |_| json!({ "showRankingScore": true })),
            (10, |_| json!({ "showRankingScoreDetails": true })),
            (8, Self::threshold),
            (25, Self::matching_strategy),
            (12, Self::searched_on),
        ];
        for (percent, parameter) in parameters {
            if self.chance(percent) {
                add(parameter(self));
            }
        }
        // What is counted of the documents that a distinct attribute leaves is up to the engine, so no facets then.
        if self.chance(12) && !body.contains_key("facets") {
            body.insert("distinct".into(), json!(self.one_of(&["section", "maintainer"])));
        }
        Query { index, by_get: self.chance(25), body }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn one_of<'t, T: ?Sized>(&mut self, choices: &[&'t T]) -> &'t T {
        choices[self.random.usize(..choices.len())]
    }

    fn document(&mut self) -> &'a Package {
        let round = self.random.u64(..);
        let winner = self.documents.iter().min_by_key(|package| draw(round, package));
        winner.expect("a document")
    }

    /// A few words in a row.
    fn words_in_a_row(&mut self, count: usize) -> Vec<String> {
        loop {
            let document = self.document();
            let text = format!("{} {}", document.name, document.description);
            let words: Vec<&str> =
                text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1).collect();
            if words.len() >= count {
                let first = self.random.usize(..=words.len() - count);
                return words[first..first + count].iter().map(|word| word.to_string()).collect();
            }
        }
    }

    fn word(&mut self) -> String {
        self.words_in_a_row(1).remove(0)
    }

    fn words(&mut self) -> Value {
        let text = match self.random.u32(..14) {
            0 => return json!({}),
            1 => String::new(),
            2 | 3 => self.word(),
            4 | 5 => self.words_in_a_row(2).join(" "),
            6 => format!("{} {}", self.word(), self.word()),
            7 => self.words_in_a_row(4).join(" "),
            8 => beginning(&self.word(), self.random.usize(1..5)),
            // Of the words that begin with fewer letters the engine looks at some only, and at which depends on all that
            // an index holds.
            9 => format!("{} {}", self.word(), beginning(&self.word(), self.random.usize(3..6))),
            10 | 11 => self.with_typos(),
            12 => format!("\"{}\" {}", self.words_in_a_row(2).join(" "), self.word()),
            _ => match self.chance(50) {
                true => format!("{} -{}", self.word(), self.word()),
                // Of the synonyms.
                false => self.one_of(&["editor", "photo picture", "db", "video game", "toy"]).to_owned(),
            },
        };
        json!({ "q": text })
    }

    fn with_typos(&mut self) -> String {
        let words = self.words_in_a_row(2);
        let mistyped = words.into_iter().map(|word| {
            let mut letters: Vec<char> = word.chars().collect();
            if letters.len() < 5 {
                return word;
            }
            let place = self.random.usize(1..letters.len() - 1);
            match self.random.u32(..4) {
                0 => letters.swap(place, place + 1),
                1 => drop(letters.remove(place)),
                2 => letters.insert(place, self.random.lowercase()),
                _ => letters[place] = self.random.lowercase(),
            }
            letters.into_iter().collect()
        });
        mistyped.collect::<Vec<String>>().join(" ")
    }

    fn window(&mut self) -> Value {
        match self.random.u32(..20) {
            0..6 => json!({}),
            6..10 => json!({ "limit": self.random.usize(..60) }),
            10..14 => json!({ "offset": self.random.usize(..80), "limit": self.random.usize(1..50) }),
            14 | 15 => json!({ "hitsPerPage": self.random.usize(..40) }),
            16 | 17 => json!({ "page": self.random.usize(..6), "hitsPerPage": self.random.usize(1..40) }),
            18 => json!({ "page": self.random.usize(1..4) }),
            // Around the end of what can be paged to.
            _ => json!({ "offset": self.one_of(&[&390, &990, &2_000]), "limit": 20 }),
        }
    }

    fn filter(&mut self) -> Value {
        let filter = match self.random.u32(..5) {
            0 => json!([self.condition(), self.condition()]),
            1 => json!([[self.condition(), self.condition()], self.condition()]),
            2 => json!(format!("{} OR {}", self.condition(), self.condition())),
            _ => json!(self.condition()),
        };
        json!({ "filter": filter })
    }

    fn condition(&mut self) -> String {
        let document = self.document().clone();
        let other = self.document().section.clone();
        let tag = document.tags.first().map_or("role::program", |tag| tag);
        match self.random.u32(..10) {
            0 | 1 => format!("section = {}", document.section),
            2 => format!("section IN [{}, {other}]", document.section),
            3 => format!("size > {}", document.size),
            4 => format!(
                "installedSize {} TO {}",
                document.installed_size,
                document.installed_size * 4 + 1_000
            ),
            5 => format!("tags = \"{tag}\""),
            6 => format!("NOT section = {}", document.section),
            7 => format!("maintainer != \"{}\"", document.maintainer.replace('"', "")),
            8 => "homepage EXISTS".to_owned(),
            _ => format!("homepage NOT EXISTS AND size <= {}", document.size),
        }
    }

    fn sort(&mut self) -> Value {
        let direction = |random: &mut Rng| if random.bool() { "asc" } else { "desc" };
        let attributes = ["name", "section", "size", "installedSize", "homepage"];
        let chosen = self.random.choose_multiple(attributes, self.random.clone().usize(1..3));
        let rules = chosen.iter().map(|attribute| format!("{attribute}:{}", direction(&mut self.random)));
        json!({ "sort": rules.collect::<Vec<_>>() })
    }

    fn facets(&mut self) -> Value {
        let facets = ["section", "priority", "maintainer", "size", "installedSize", "tags", "homepage"];
        if self.chance(15) {
            return json!({ "facets": ["*"] });
        }
        let count = self.random.usize(1..4);
        json!({ "facets": self.random.choose_multiple(facets, count) })
    }

    fn retrieved(&mut self) -> Value {
        let choices = [
            json!(["id"]),
            json!(["name", "size"]),
            json!(["*"]),
            json!(["id", "description", "version"]),
            json!(["homepage"]),
        ];
        json!({ "attributesToRetrieve": choices[self.random.usize(..choices.len())] })
    }

    fn highlighted(&mut self) -> Value {
        match self.chance(50) {
            true => json!({ "attributesToHighlight": ["*"] }),
            false => json!({
                "attributesToHighlight": ["name", "description"],
                "highlightPreTag": "«",
                "highlightPostTag": "»",
            }),
        }
    }

    fn cropped(&mut self) -> Value {
        match self.chance(50) {
            true => json!({ "attributesToCrop": ["description:6"], "cropMarker": "[…]" }),
            false => json!({ "attributesToCrop": ["*"], "cropLength": 4 }),
        }
    }

    fn threshold(&mut self) -> Value {
        json!({ "rankingScoreThreshold": f64::from(self.random.u32(1..20)) / 20.0 })
    }

    /// Not `frequency`: which words are the commonest, each node can only tell of its own documents.
    fn matching_strategy(&mut self) -> Value {
        json!({ "matchingStrategy": self.one_of(&["all", "last"]) })
    }

    fn searched_on(&mut self) -> Value {
        let choices = [json!(["name"]), json!(["description", "name"]), json!(["tags"])];
        json!({ "attributesToSearchOn": choices[self.random.usize(..choices.len())] })
    }
}

fn beginning(word: &str, length: usize) -> String {
    word.chars().take(length).collect()
}
