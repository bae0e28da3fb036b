//! What a search costs Envoy with nodes that cost nothing, beside Envoy passing the same search through to one of them.

use anyhow::{Context, Result};
use miroir_harness::{Client, debian_packages};

use crate::canned::CannedCluster;
use crate::load::{Load, Rounds, alternate};
use crate::plain_envoy::PlainEnvoy;
use crate::report::{Bound, Figure, Section};
use crate::{corpus, progress};

const FAN_OUTS: [usize; 3] = [1, 3, 8];
/// The fan-out that the targets are for.
const USUAL: usize = 3;
const DOCUMENTS: usize = 5_000;
const AT_ONCE: usize = 4;

/// Measures it.
pub async fn run() -> Result<Vec<Section>> {
    let packages = debian_packages()?;
    let queries = corpus::common_searches();
    let mut loaded = Section::new(format!("canned nodes, 20 hits, {AT_ONCE} searches at once"));
    let mut alone = Section::new("canned nodes, 20 hits, 1 search at once");
    for fan_out in FAN_OUTS {
        progress::say(format!("{fan_out} canned nodes"));
        let nodes = CannedCluster::start(fan_out).await?;
        let client = nodes.cluster.client();
        corpus::create_index(&client, &corpus::settings()).await?;
        corpus::add(&client, &packages[..DOCUMENTS]).await?;
        let plain = PlainEnvoy::before(&nodes.urls()[0], nodes.cluster.folder()).await?;
        let envoy = nodes.cluster.envoy_pid().context("Envoy is not running")?;
        let node_clients = nodes.clients();
        let through = plain.client();
        let load = |client: &Client, at_once: usize, process: Option<u32>| Load {
            client: client.clone(),
            queries: &queries,
            at_once,
            processes: process.into_iter().collect(),
        };

        let loads = [load(&client, AT_ONCE, Some(envoy)), load(&through, AT_ONCE, Some(plain.pid()))];
        let rounds = alternate(&loads).await?;
        let ratio = rounds[0].cpu_ratio(&rounds[1]);
        for (name, rounds, ratio) in [
            (format!("Miroir over {fan_out}"), &rounds[0], ratio),
            ("Envoy to 1 of them".into(), &rounds[1], 1.0),
        ] {
            loaded.row(
                name,
                [
                    ("searches", rounds.per_second()),
                    ("CPU of Envoy", rounds.cpu()),
                    ("CPU ratio", Figure::times(ratio)),
                    ("p50", rounds.p50()),
                    ("p99", rounds.p99()),
                ],
            );
        }

        let mut loads = vec![load(&client, 1, Some(envoy)), load(&through, 1, Some(plain.pid()))];
        loads.extend(node_clients.iter().take(USUAL).map(|client| load(client, 1, None)));
        let rounds = alternate(&loads).await?;
        let over = |load: &Rounds| Figure::of(load.over_the_slowest(&rounds[2..]), "ms");
        for (name, load) in
            [(format!("Miroir over {fan_out}"), &rounds[0]), ("Envoy to 1 of them".into(), &rounds[1])]
        {
            let figures =
                [("p50", load.p50()), ("p99", load.p99()), ("p50 over the slowest node's", over(load))];
            alone.row(name, figures);
        }
        if fan_out == USUAL {
            let what = format!("CPU of Envoy at fan-out {fan_out}");
            loaded.target(what, Figure::times(ratio), Bound::AtMost(3.5));
            let what = format!("p50 at fan-out {fan_out} over the slowest node's");
            alone.target(what, over(&rounds[0]), Bound::AtMost(0.5));
        }
    }
    Ok(vec![loaded, alone])
}
