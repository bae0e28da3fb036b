//! What a benchmark found: a table for a person, and the same as JSON.

use std::fmt;
use std::time::Duration;

use comfy_table::{Table, presets};
use indexmap::{IndexMap, IndexSet};
use serde::Serialize;

/// A number and what it counts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figure {
    value: f64,
    unit: &'static str,
}

impl Figure {
    /// So many of a unit.
    pub fn of(value: f64, unit: &'static str) -> Figure {
        Figure { value, unit }
    }

    /// A time.
    pub fn time(time: Duration) -> Figure {
        Figure::of(time.as_secs_f64() * 1e3, "ms")
    }

    /// How often per second.
    pub fn per_second(value: f64) -> Figure {
        Figure::of(value, "/s")
    }

    /// So many times as much.
    pub fn times(value: f64) -> Figure {
        Figure::of(value, "×")
    }
}

impl fmt::Display for Figure {
    /// With three significant digits, or all before the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.value.abs() {
            0.0 | 100.0.. => 0,
            10.0.. => 1,
            1.0.. => 2,
            _ => 3,
        };
        write!(f, "{:.decimals$} {}", self.value, self.unit)
    }
}

/// What is wanted of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    /// It may not be larger.
    AtMost(f64),
    /// It may not be smaller.
    AtLeast(f64),
}

#[derive(Debug, Serialize)]
struct Target {
    what: String,
    figure: Figure,
    wanted: Bound,
    met: bool,
}

impl Target {
    fn verdict(&self) -> String {
        if self.met {
            return "met".into();
        }
        let (Bound::AtMost(limit) | Bound::AtLeast(limit)) = self.wanted;
        format!("missed by {:.0} %", 100.0 * (self.figure.value / limit - 1.0).abs())
    }
}

#[derive(Debug, Serialize)]
struct Row {
    case: String,
    figures: IndexMap<&'static str, Figure>,
}

/// A table of cases, and the targets for some of its figures.
#[derive(Debug, Serialize)]
pub struct Section {
    title: String,
    rows: Vec<Row>,
    targets: Vec<Target>,
}

impl Section {
    /// An empty one.
    pub fn new(title: impl Into<String>) -> Section {
        Section { title: title.into(), rows: Vec::new(), targets: Vec::new() }
    }

    /// Adds a case.
    pub fn row(
        &mut self,
        case: impl Into<String>,
        figures: impl IntoIterator<Item = (&'static str, Figure)>,
    ) {
        self.rows.push(Row { case: case.into(), figures: figures.into_iter().collect() });
    }

    /// Adds what is wanted of a figure.
    pub fn target(&mut self, what: impl Into<String>, figure: Figure, wanted: Bound) {
        let met = match wanted {
            Bound::AtMost(limit) => figure.value <= limit,
            Bound::AtLeast(limit) => figure.value >= limit,
        };
        self.targets.push(Target { what: what.into(), figure, wanted, met });
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: IndexSet<&str> = self.rows.iter().flat_map(|row| row.figures.keys().copied()).collect();
        let mut cases = table([&*self.title].into_iter().chain(columns.iter().copied()));
        for row in &self.rows {
            let cell = |column: &&str| row.figures.get(column).map(Figure::to_string).unwrap_or_default();
            cases.add_row([row.case.clone()].into_iter().chain(columns.iter().map(cell)));
        }
        writeln!(f, "{cases}")?;
        if self.targets.is_empty() {
            return Ok(());
        }
        let mut targets = table(["target", "wanted", "measured", ""]);
        for target in &self.targets {
            let wanted = match target.wanted {
                Bound::AtMost(limit) => format!("at most {limit} {}", target.figure.unit),
                Bound::AtLeast(limit) => format!("at least {limit} {}", target.figure.unit),
            };
            targets.add_row([target.what.clone(), wanted, target.figure.to_string(), target.verdict()]);
        }
        writeln!(f, "{targets}")
    }
}

fn table<'t>(header: impl IntoIterator<Item = &'t str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_by_how_much_it_is_missed() {
        let mut section = Section::new("speed");
        section.target("slow", Figure::times(4.2), Bound::AtMost(3.5));
        section.target("fast", Figure::times(3.5), Bound::AtMost(3.5));
        section.target("low", Figure::of(45.0, "MB/s"), Bound::AtLeast(60.0));
        let verdicts: Vec<String> = section.targets.iter().map(Target::verdict).collect();
        assert_eq!(verdicts, ["missed by 20 %", "met", "missed by 25 %"]);
    }

    #[test]
    fn figures_have_three_digits() {
        let shown = [1234.4, 12.34, 1.234, 0.1234, 0.0].map(|value| Figure::of(value, "ms").to_string());
        assert_eq!(shown, ["1234 ms", "12.3 ms", "1.23 ms", "0.123 ms", "0 ms"]);
    }
}
