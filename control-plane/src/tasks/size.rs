//! Sizes as Meilisearch writes them in the details of a task: `1.5 MiB`.

/// Every unit, largest first, decimal ones between the binary ones, as the `byte-unit` crate orders them.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// The sum of sizes; `None` if one can't be read.
pub fn sum<'s>(sizes: impl Iterator<Item = &'s str>) -> Option<String> {
    sizes.map(parse).sum::<Option<u64>>().map(shown)
}

fn parse(size: &str) -> Option<u64> {
    let (number, unit) = size.split_once(' ')?;
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some((number.parse::<f64>().ok()? * *bytes as f64).round() as u64)
}

fn shown(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes >= *unit;
    let (name, unit) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
    format!("{} {name}", bytes as f64 / *unit as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_added_up() {
        let sum = |sizes: &[&str]| sum(sizes.iter().copied());
        assert_eq!(sum(&["1.5 MiB", "512 KiB"]).as_deref(), Some("2 MiB"));
        assert_eq!(sum(&["600 B", "400 B"]).as_deref(), Some("1 KB"));
        assert_eq!(sum(&["3 GiB"]).as_deref(), Some("3 GiB"));
        assert_eq!(sum(&[]).as_deref(), Some("0 B"));
        assert_eq!(sum(&["many"]), None);
    }
}
