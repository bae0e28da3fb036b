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
    /// Nothing may differ but where the engine itself is the cause (see [`engine`](crate::engine)), and how often it is
    /// depends on the queries and on the documents: bounded here, so that a class of queries which it answers
    /// badly in parts is noticed.
    pub fn failure(&self) -> Option<String> {
        let most = |percent: usize| self.queries * percent / 100;
        let fails = self.count(&|d| !d.of_the_engine) > 0
            || self.count(&|d| d.ranks) > most(1)
            || self.count(&|d| d.highlights) > most(2)
            || self.count(&|d| d.totals || d.facets || d.hits) > most(1);
        fails.then(|| {
            let mut worst_first: Vec<&Difference> = self.differences.iter().collect();
            worst_first.sort_by_key(|d| (d.of_the_engine, !(d.totals || d.facets || d.hits)));
            let shown: Vec<&str> = worst_first.iter().take(SHOWN).map(|d| &*d.text).collect();
            format!("{}:\n{}", self.configuration, shown.join("\n"))
        })
    }

    fn count(&self, differs: &dyn Fn(&Difference) -> bool) -> usize {
        self.differences.iter().filter(|difference| differs(difference)).count()
    }

    /// Shows it to a person, also where the output of tests that pass is swallowed.
    pub fn print(&self) {
        let equal = |differs: fn(&Difference) -> bool| {
            format!("{}/{}", self.queries - self.count(&differs), self.queries)
        };
        line(&[
            self.configuration.clone(),
            equal(|d| d.ranks),
            equal(|d| d.hits),
            equal(|d| d.highlights),
            equal(|d| d.totals),
            equal(|d| d.facets),
            self.count(&|d| d.of_the_engine).to_string(),
            self.count(&|d| !d.of_the_engine).to_string(),
            format!("{:.1} s", self.took.as_secs_f64()),
        ]);
    }
}

/// Shows the head of the table.
pub fn print_head() {
    let head = [
        "equal in",
        "rank keys",
        "hits",
        "highlights",
        "totals",
        "facets",
        "engine's",
        "Miroir's",
        "queried in",
    ];
    line(&head.map(String::from));
}

fn line(columns: &[String; 9]) {
    let [first, rest @ ..] = columns;
    let rest: String = rest.iter().map(|column| format!("{column:>12}")).collect();
    let _ = writeln!(std::io::stderr(), "{first:<28}{rest}");
}
