//! Several control planes on one store: one leads, and the others stand by.
//!
//! Whoever stands by passes on to the leader all that comes to its ports, so that any of them can be asked anything, and all
//! that has to be known of writes under way, of locks and of connected Envoys is known in one place. When the leader goes, the
//! next one finds in the store what a control plane finds that was killed and started again.

mod standby;
mod term;

pub use term::Term;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::server::Server;
use crate::store::{Holder, LEASE, Lease, Link, RedisStore, StoreError};

/// How often who stands by looks whether it may lead, and how often the leader says that it still does.
const LOOK: Duration = Duration::from_secs(1);
/// So much earlier than for others the lease ends for ourselves.
const MARGIN: Duration = Duration::from_secs(1);
/// How long a leader that ends may take to end what is under way.
const STOP: Duration = Duration::from_secs(15);

/// Leads whenever nobody else does, and stands by otherwise, until `stop`.
///
/// # Errors
/// What keeps it from serving at all: its configuration, its ports, a store of a newer Miroir.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let link = Arc::new(Link::open(&config.task_store).context("`task_store`")?);
    let lease = Lease::new(link, &holder(&config))?;
    tokio::pin!(stop);
    loop {
        let token = tokio::select! {
            () = &mut stop => return Ok(()),
            token = standby::stand_by(&config, &lease) => token?,
        };
        let since = Instant::now();
        info!(token, "leading");
        match lead(&config, &lease, token, since, &mut stop).await {
            Ok(Ended::Stopped) => return Ok(()),
            Ok(Ended::Lost) => warn!(token, "another control plane leads by now, or will: standing by"),
            Err(reason) if may_pass(&reason) => warn!(%reason, "can't lead now: standing by"),
            Err(reason) => return Err(reason),
        }
    }
}

/// Where others reach us.
fn holder(config: &Config) -> Holder {
    let host = |address: SocketAddr| match &config.listen.advertise {
        Some(host) => host.clone(),
        None if !address.ip().is_unspecified() => address.ip().to_string(),
        None => gethostname::gethostname().to_string_lossy().into_owned(),
    };
    let at = |address: SocketAddr| match host(address) {
        host if host.contains(':') => format!("[{host}]:{}", address.port()),
        host => format!("{host}:{}", address.port()),
    };
    Holder { envoy: at(config.listen.envoy), admin: at(config.listen.admin) }
}

/// Whether what kept us from leading is about the store, and not about us.
fn may_pass(reason: &anyhow::Error) -> bool {
    let error = reason.downcast_ref::<StoreError>();
    error.is_some_and(|error| !matches!(error, StoreError::TooNew { .. } | StoreError::Incomplete))
}

enum Ended {
    Stopped,
    Lost,
}

/// Leads in a runtime of its own, so that nothing of it is left when the lease is lost.
async fn lead(
    config: &Config,
    lease: &Lease,
    token: u64,
    since: Instant,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Ended> {
    let term = Term::until(end_of_lease(since));
    let runtime = Runtime::new()?;
    let (to_stop, stopping) = oneshot::channel();
    let serving = {
        let (config, term) = (config.clone(), term.clone());
        runtime.spawn(async move {
            // What a connection needs is on the runtime that made it.
            let link = Arc::new(Link::open(&config.task_store)?);
            let store = Arc::new(RedisStore::open(link, token, term).await?);
            let server = Server::start(config, store).await?;
            let _ = stopping.await;
            server.stop().await;
            anyhow::Ok(())
        })
    };
    let ended = tokio::select! {
        () = keep(lease, token, &term) => Ok(Ended::Lost),
        ended = serving_until(serving, to_stop, stop) => ended,
    };
    // It waits until all is gone, the ports included.
    let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(STOP)).await;
    if matches!(ended, Ok(Ended::Stopped))
        && let Err(reason) = lease.give_up(token).await
    {
        warn!(%reason, "the lease could not be given up: it ends by itself");
    }
    ended
}

async fn serving_until(
    mut serving: tokio::task::JoinHandle<anyhow::Result<()>>,
    to_stop: oneshot::Sender<()>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Ended> {
    let ended = tokio::select! {
        () = stop => {
            info!("stopping");
            let _ = to_stop.send(());
            match tokio::time::timeout(STOP, serving).await {
                Ok(ended) => ended,
                Err(_) => return Ok(Ended::Stopped),
            }
        }
        ended = &mut serving => ended,
    };
    match ended {
        Ok(Ok(())) => Ok(Ended::Stopped),
        Ok(Err(reason)) => Err(reason),
        Err(panic) => Err(anyhow!(panic)),
    }
}

/// When a lease ends for ourselves that was asked for then.
pub fn end_of_lease(asked: Instant) -> Instant {
    asked + LEASE - MARGIN
}

/// Prolongs the lease for as long as that can be done.
pub async fn keep(lease: &Lease, token: u64, term: &Term) {
    loop {
        tokio::time::sleep(LOOK).await;
        let asked = Instant::now();
        match lease.renew(token).await {
            Ok(true) => term.prolong(end_of_lease(asked)),
            Ok(false) => return,
            Err(reason) => error!(%reason, "the lease could not be prolonged"),
        }
        if term.is_over() {
            return;
        }
    }
}
