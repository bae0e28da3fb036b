//! `make demo`: what Miroir does, on real documents, to be read by a person. Ends with 1 if it does not do it.

mod indexing;
mod searches;
mod show;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use console::style;
use indicatif::HumanCount;
use miroir_harness::{Cluster, Options, debian_packages};

use crate::searches::Search;

const INDEX: &str = "packages";

#[tokio::main]
async fn main() -> ExitCode {
    let done = tokio::select! {
        done = demo() => done,
        // Leaving `demo` behind stops all that it started.
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", style("The demo failed:").red().bold());
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<()> {
    show::heading("Three Meilisearch nodes behind one endpoint, two copies of every document");
    let packages = debian_packages()?;
    let mut cluster = Cluster::start(Options::default()).await?;
    println!("Miroir answers as a Meilisearch server at {}", style(cluster.client_url()).cyan());

    let index = cluster.client().index(INDEX);
    index.update_settings(&searches::settings()).await?;
    println!("Indexing Debian's catalogue, {} packages", HumanCount(packages.len() as u64));
    let took = indexing::index(&cluster.client(), &index, &packages).await?;
    let count = index.count().await?;
    println!("{} documents indexed in {:.0?}", HumanCount(count), took);
    ensure!(count == packages.len() as u64, "{} packages were sent, {count} are there", packages.len());

    show::heading("What each node holds");
    show::nodes(&cluster, INDEX, count).await?;

    let mut before = Vec::new();
    for search in searches::all() {
        show::heading(&search.title);
        let answer = index.search(&search.query).await?;
        ensure!(answer["totalHits"].as_u64() > Some(0), "nothing was found: {answer}");
        show::answer(&search, &answer)?;
        before.push(answer);
    }

    cluster.stop_node(1);
    show::heading("node-1 was just killed. The same searches again");
    for (search, before) in searches::all().iter().zip(&before) {
        let after = index.search(&search.query).await?;
        ensure!(
            Search::counts(before) == Search::counts(&after),
            "{}: was {}, is {}",
            search.title,
            Search::counts(before),
            Search::counts(&after)
        );
        let total = HumanCount(after["totalHits"].as_u64().unwrap_or_default());
        println!("{} {}: {total} found, as before", style("✓").green(), search.title);
    }
    show::answer(&searches::all()[0], &index.search(&searches::all()[0].query).await?)?;

    drop(cluster);
    println!("\nAll is stopped again. make up starts a cluster that stays.");
    Ok(())
}
