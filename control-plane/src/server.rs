//! Starts the control plane's parts and stops them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;

use crate::admin::{self, Admin};
use crate::cluster::Cluster;
use crate::config::{Backend, Config, TaskStoreConfig};
use crate::indexes::{self, drift};
use crate::leadership;
use crate::store::{SqliteStore, Store};
use crate::tasks::{expiry, poller};
use crate::xds::{self, MODULE_PATH, Module, Snapshot, Xds};
use crate::{anti_entropy, api, health, instance, rebalance, webhooks};

/// Past this a node whose state is not known yet counts as down. Until then a control plane that has just started
/// does not tell Envoys that have a good table about nodes it has not asked yet.
const FIRST_HEALTH: Duration = Duration::from_secs(30);
/// How long requests may take to end after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// An Envoy that does not answer a ping within this is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from serving.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    if config.task_store.backend == Backend::Redis {
        return leadership::serve(config, stop).await;
    }
    let store = open_sqlite(&config.task_store)?;
    let server = Server::start(config, store).await?;
    stop.await;
    tracing::info!("stopping");
    server.stop().await;
    Ok(())
}

/// A control plane that serves.
pub struct Server {
    /// Where it serves Envoys.
    pub envoy: SocketAddr,
    /// Where it serves operators.
    pub admin: SocketAddr,
    stop: CancellationToken,
    servers: JoinSet<()>,
    background: JoinSet<()>,
}

impl Server {
    /// Opens the cluster that the store holds and serves it.
    ///
    /// # Errors
    /// What kept it from serving.
    pub async fn start(config: Config, store: Arc<dyn Store>) -> anyhow::Result<Server> {
        let module = Module::open(&config.filter)
            .with_context(|| format!("`filter.module` is {}", config.filter.module.display()))?;
        let envoy_port = bind("listen.envoy", config.listen.envoy).await?;
        let admin_port = bind("listen.admin", config.listen.admin).await?;
        let (envoy, admin) = (envoy_port.local_addr()?, admin_port.local_addr()?);
        let cluster = Arc::new(Cluster::open(config, store).await?);

        let stop = CancellationToken::new();
        let (snapshots, snapshot) = watch::channel(None);
        let xds = Xds::new(snapshot.clone(), cluster.envoys.clone(), stop.clone());
        let operators = Admin { cluster: cluster.clone(), snapshot };

        let mut servers = JoinSet::new();
        servers.spawn(serve_envoys(envoy_port, envoy_routes(&cluster, &module, xds), stop.clone()));
        servers.spawn(serve_operators(admin_port, admin::router(operators), stop.clone()));
        let mut background = JoinSet::new();
        background.spawn(run(cluster, module, snapshots));
        tracing::info!(%envoy, %admin, "serving");
        Ok(Server { envoy, admin, stop, servers, background })
    }

    /// Ends what is under way and stops.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let drained = async { while self.servers.join_next().await.is_some() {} };
        if timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("requests were still under way after {DRAIN:?}");
        }
        self.background.shutdown().await;
    }
}

/// Opens the store of the one control plane that there is.
///
/// # Errors
/// If it can't be opened.
pub fn open_sqlite(config: &TaskStoreConfig) -> anyhow::Result<Arc<dyn Store>> {
    let path = &config.path;
    let store =
        SqliteStore::open(path).with_context(|| format!("`task_store.path` is {}", path.display()))?;
    Ok(Arc::new(store))
}

/// Listens on the address that this key of the configuration gives.
///
/// # Errors
/// If that can't be done.
pub async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("`{key}` is {address}"))
}

fn envoy_routes(cluster: &Arc<Cluster>, module: &Module, xds: Xds) -> Routes {
    let mut router = api::router(cluster.clone()).route("/_miroir/alive", get(|| async {}));
    if let Module::Remote { code, .. } = module {
        let code = code.clone();
        let module = || async move { ([(CONTENT_TYPE, "application/wasm")], code) };
        router = router.route(MODULE_PATH, get(module));
    }
    xds.routes(Routes::from(router))
}

/// gRPC, HTTP/2 without TLS and HTTP/1.1 on one port.
async fn serve_envoys(port: TcpListener, routes: Routes, stop: CancellationToken) {
    let served = tonic::transport::Server::builder()
        .accept_http1(true)
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(port), stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!("serving Envoys ended: {error}");
    }
}

async fn serve_operators(port: TcpListener, router: Router, stop: CancellationToken) {
    let served = axum::serve(port, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!("serving operators ended: {error}");
    }
}

/// What goes on beside requests. Tasks are looked after once it is known which nodes are up: a task need not wait
/// for a node that is away.
async fn run(cluster: Arc<Cluster>, module: Module, snapshots: watch::Sender<Option<Arc<Snapshot>>>) {
    let (found, first_verdicts) = oneshot::channel();
    let watching = AbortOnDropHandle::new(tokio::spawn(health::watch(cluster.clone(), found)));
    if timeout(FIRST_HEALTH, first_verdicts).await.is_err() {
        tracing::warn!("not all nodes were found up or down within {FIRST_HEALTH:?}");
    }
    let _ends_with_us = tokio::join!(
        xds::follow(cluster.clone(), module, snapshots),
        poller::run(cluster.clone()),
        expiry::run(&cluster),
        instance::keep_in_step(&cluster),
        webhooks::notify::run(&cluster),
        drift::watch(&cluster),
        indexes::finish_adoptions(&cluster),
        rebalance::run(cluster.clone()),
        rebalance::remember(&cluster),
        anti_entropy::run(&cluster),
        watching,
    );
}
