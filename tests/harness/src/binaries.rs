//! Where the programs are that a cluster is made of.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The control plane.
///
/// # Errors
/// If it isn't built.
pub fn control_plane() -> Result<PathBuf> {
    built("miroir")
}

/// What nodes run: `MEILISEARCH_BIN` if set, else the embedded node.
///
/// # Errors
/// If it isn't there.
pub fn node() -> Result<PathBuf> {
    match std::env::var_os("MEILISEARCH_BIN") {
        Some(path) if !path.is_empty() => std::fs::canonicalize(&path)
            .with_context(|| format!("MEILISEARCH_BIN names {}, which can't be found", path.display())),
        _ => built("miroir-test-node"),
    }
}

/// Envoy: `ENVOY_BIN` if set, else the one in `.tools`.
///
/// # Errors
/// If it isn't there.
pub fn envoy() -> Result<PathBuf> {
    let installed = || workspace().join(".tools/envoy/bin/envoy");
    let path = std::env::var_os("ENVOY_BIN").map_or_else(installed, PathBuf::from);
    present(path, "run scripts/install-envoy")
}

/// The filter: `MIROIR_WASM` if set, else the one that `scripts/wasm` built.
///
/// # Errors
/// If it isn't there.
pub fn filter() -> Result<PathBuf> {
    match std::env::var_os("MIROIR_WASM") {
        Some(path) => Ok(present(path.into(), "MIROIR_WASM names it")?.canonicalize()?),
        None => wasm("miroir_filter"),
    }
}

/// A module that `scripts/wasm` built.
///
/// # Errors
/// If it isn't there.
pub fn wasm(name: &str) -> Result<PathBuf> {
    let path = profile_folder()?.join(format!("../wasm32-unknown-unknown/wasm/{name}.wasm"));
    Ok(present(path, "run scripts/wasm")?.canonicalize()?)
}

/// A program that was built as the modules are, but natively.
///
/// # Errors
/// If it isn't there.
pub fn as_wasm(name: &str) -> Result<PathBuf> {
    present(profile_folder()?.join("../wasm").join(name), "run cargo build --profile wasm")
}

fn built(name: &str) -> Result<PathBuf> {
    present(profile_folder()?.join(name), "run cargo build --release")
}

fn present(path: PathBuf, remedy: &str) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is not there: {remedy}", path.display());
    }
    Ok(path)
}

/// The folder in which cargo put this program, and so the others.
fn profile_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is")?;
    let mut folder = program.parent().context("this program is in no folder")?;
    // Tests are one deeper.
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps is in no folder")?;
    }
    Ok(folder.to_owned())
}
