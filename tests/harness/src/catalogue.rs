//! Real documents: the catalogue of packages that every Debian machine has.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Fewer than this, and the machine has not fetched the catalogue.
const FEW: usize = 30_000;

/// A Debian package, as a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Package {
    /// Its name, in the characters that Meilisearch allows in ids.
    pub id: String,
    pub name: String,
    pub version: String,
    pub description: String,
    pub section: String,
    pub priority: String,
    pub maintainer: String,
    /// In bytes.
    pub size: u64,
    /// In kilobytes.
    pub installed_size: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub homepage: Option<String>,
    pub tags: Vec<String>,
    /// The names of the packages that it needs.
    pub depends: Vec<String>,
}

/// All packages in the catalogue of this machine, about 63,000, in its order; fetches the catalogue if there is none.
///
/// # Errors
/// If this machine is no Debian, or can't fetch it.
pub fn debian_packages() -> Result<Vec<Package>> {
    let packages = parse(&dump()?);
    if packages.len() >= FEW {
        return Ok(packages);
    }
    run("apt-get", &["update"]).context("fetching Debian's package catalogue (as root: apt-get update)")?;
    let packages = parse(&dump()?);
    ensure!(packages.len() >= FEW, "Debian's catalogue has but {} packages here", packages.len());
    Ok(packages)
}

fn dump() -> Result<String> {
    run("apt-cache", &["dumpavail"])
        .context("the documents are Debian's package catalogue: this needs apt-cache")
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The packages of a catalogue; of one that is there in several versions, the first.
fn parse(catalogue: &str) -> Vec<Package> {
    let mut seen = BTreeSet::new();
    let packages = catalogue.split("\n\n").filter_map(|stanza| package(&fields(stanza)));
    packages.filter(|package| seen.insert(package.id.clone())).collect()
}

/// The fields of a stanza; the lines of a long one are joined.
fn fields(stanza: &str) -> BTreeMap<&str, String> {
    let mut fields = BTreeMap::new();
    let mut current = "";
    for line in stanza.lines() {
        if line.starts_with(' ') {
            let text: &mut String = fields.entry(current).or_default();
            text.push(' ');
            text.push_str(line.trim());
        } else if let Some((name, text)) = line.split_once(':') {
            current = name;
            fields.insert(name, text.trim().to_owned());
        }
    }
    fields
}

fn package(fields: &BTreeMap<&str, String>) -> Option<Package> {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let number = |name: &str| text(name).parse().unwrap_or(0);
    let list = |name: &str| -> Vec<String> {
        text(name).split(',').map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect()
    };
    let first_word = |text: String| text.split([' ', ':']).next().unwrap_or_default().to_owned();

    let name = fields.get("Package")?.clone();
    let mut depends: Vec<String> = list("Depends").into_iter().map(first_word).collect();
    depends.dedup();
    Some(Package {
        id: id_of(&name),
        version: text("Version"),
        description: fields.get("Description").or(fields.get("Description-en")).cloned().unwrap_or_default(),
        section: text("Section"),
        priority: text("Priority"),
        maintainer: text("Maintainer").split(" <").next().unwrap_or_default().to_owned(),
        size: number("Size"),
        installed_size: number("Installed-Size"),
        homepage: fields.get("Homepage").cloned(),
        tags: list("Tag"),
        depends,
        name,
    })
}

/// A package's name in the letters, digits, `-` and `_` of a document id. Names have no `_`, so no two ids are equal.
fn id_of(name: &str) -> String {
    name.replace('+', "_plus_").replace('.', "_dot_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOGUE: &str = "Package: libstdc++6
Version: 12
Maintainer: Debian GCC <gcc@example.org>
Installed-Size: 2700
Depends: gcc-12-base (= 12), libc6 (>= 2.36), python3:any
Description: GNU Standard C++ Library v3
Homepage: http://gcc.gnu.org/
Tag: devel::library, devel::lang:c++,
 role::shared-lib
Section: libs
Priority: optional
Size: 613296

Package: libstdc++6
Version: 11

Package: zoom
Description: last
";

    #[test]
    fn a_stanza_becomes_a_document() {
        let packages = parse(CATALOGUE);
        assert_eq!(packages.len(), 2);
        let library = &packages[0];
        assert_eq!((library.id.as_str(), library.name.as_str()), ("libstdc_plus__plus_6", "libstdc++6"));
        assert_eq!(library.version, "12");
        assert_eq!((library.size, library.installed_size), (613_296, 2_700));
        assert_eq!(library.maintainer, "Debian GCC");
        assert_eq!(library.tags, ["devel::library", "devel::lang:c++", "role::shared-lib"]);
        assert_eq!(library.depends, ["gcc-12-base", "libc6", "python3"]);
        assert_eq!(packages[1].homepage, None);
    }
}
