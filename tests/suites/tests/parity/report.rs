//! The table that the comparison ends with.

use std::io::Write;
use std::time::Duration;

use crate::compare::Difference;

/// How many differing queries are shown in full.
const SHOWN: usize = 3;

/// What came of the queries in one configuration.
pub struct Row {
    pub configuration: String,
    pub queries: usize,
    pub differences: Vec<Difference>,
    pub took: Duration,
}

impl Row {
    /// What is wrong with it, if anything is.
    ///
    /// The engine looks at a bounded number of the words that a prefix or a typo may stand for, and at which depends on
    /// all that an index holds; so a part of an index can find more, and rank it otherwise, than the whole. What this
    /// may cost is bounded here by what was measured. What is found of equal rank must be the same documents.
    pub fn failure(&self) -> Option<String> {
        let count = |differs: fn(&Difference) -> bool| self.differences.iter().filter(|d| differs(d)).count();
        let percent = |percent: usize| self.queries * percent / 100;
        let fails = count(|d| d.ranks) > percent(2)
            || count(|d| d.highlights) > percent(2)
            || count(|d| d.totals || d.facets) > percent(1)
            || count(|d| d.hits) > 0;
        fails.then(|| {
            let mut worst_first: Vec<&Difference> = self.differences.iter().collect();
            worst_first.sort_by_key(|d| !(d.totals || d.facets || d.hits));
            let shown: Vec<&str> = worst_first.iter().take(SHOWN).map(|d| &*d.text).collect();
            format!("{}:\n{}", self.configuration, shown.join("\n"))
        })
    }

    /// Shows it to a person, also where the output of tests that pass is swallowed.
    pub fn print(&self) {
        let equal = |differs: fn(&Difference) -> bool| {
            let differing = self.differences.iter().filter(|d| differs(d)).count();
            format!("{}/{}", self.queries - differing, self.queries)
        };
        line(&[
            self.configuration.clone(),
            equal(|d| d.ranks),
            equal(|d| d.hits),
            equal(|d| d.highlights),
            equal(|d| d.totals),
            equal(|d| d.facets),
            format!("{:.1} s", self.took.as_secs_f64()),
        ]);
    }
}

/// Shows the head of the table.
pub fn print_head() {
    line(
        &["equal in", "rank keys", "hits", "highlights", "totals", "facets", "queried in"].map(String::from),
    );
}

fn line(columns: &[String; 7]) {
    let [first, rest @ ..] = columns;
    let rest: String = rest.iter().map(|column| format!("{column:>12}")).collect();
    let _ = writeln!(std::io::stderr(), "{first:<28}{rest}");
}
