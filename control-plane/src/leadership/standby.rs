//! Standing by: everything is passed on to the leader.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use miroir_core::error::{ApiError, ErrorType};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::LOOK;
use crate::admin::{Refused, metrics};
use crate::config::Config;
use crate::server::bind;
use crate::store::{Holder, Lease, Standing};

/// How long who comes waits for a leader, and for a connection to it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who leads, as far as we know.
type Leader = watch::Receiver<Option<Arc<Holder>>>;

/// Passes on all that comes until nobody leads and we may; the token with which we do.
///
/// # Errors
/// If the ports can't be bound.
pub async fn stand_by(config: &Config, lease: &Lease) -> anyhow::Result<u64> {
    let envoy_port = bind("listen.envoy", config.listen.envoy).await?;
    let admin_port = bind("listen.admin", config.listen.admin).await?;
    let (known, leader) = watch::channel(None);
    let mut servers = JoinSet::new();
    servers.spawn(serve_envoys(envoy_port, leader.clone()));
    servers.spawn(serve_operators(admin_port, leader));
    let token = loop {
        match lease.take().await {
            Ok(Standing::Leads(token)) => break token,
            Ok(Standing::Follows(holder)) => {
                known.send_if_modified(|known| {
                    let is_new = known.as_deref() != Some(&holder);
                    if is_new {
                        info!(leader = holder.admin, "standing by");
                        *known = Some(Arc::new(holder));
                    }
                    is_new
                });
            }
            Err(reason) => {
                warn!(%reason, "nobody knows who leads");
                known.send_replace(None);
            }
        }
        tokio::time::sleep(LOOK).await;
    };
    servers.shutdown().await;
    Ok(token)
}

/// Joins each connection with one to the leader, and ends it when another one leads.
async fn serve_envoys(port: TcpListener, leader: Leader) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = port.accept() => {
                if let Ok((connection, _)) = accepted {
                    connections.spawn(join(connection, leader.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn join(mut connection: TcpStream, mut leader: Leader) {
    let Ok(Some((holder, mut other))) = timeout(PATIENCE, connect(&mut leader)).await else { return };
    let changes = leader.wait_for(|now| now.as_ref().is_none_or(|now| *now != holder));
    tokio::select! {
        _ = copy_bidirectional(&mut connection, &mut other) => {}
        _ = changes => {}
    }
}

/// A connection to whoever leads; `None` if nobody will.
async fn connect(leader: &mut Leader) -> Option<(Arc<Holder>, TcpStream)> {
    loop {
        let holder = leader.wait_for(Option::is_some).await.ok()?.clone()?;
        if let Ok(connection) = TcpStream::connect(&holder.envoy).await {
            let _ = connection.set_nodelay(true);
            return Some((holder, connection));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[derive(Clone)]
struct Operators {
    leader: Leader,
    client: reqwest::Client,
}

async fn serve_operators(port: TcpListener, leader: Leader) {
    let client = reqwest::Client::builder().connect_timeout(PATIENCE).build().unwrap_or_default();
    let router = Router::new()
        .route("/_miroir/ready", get(ready))
        .route("/metrics", get(metrics::of_standby))
        .fallback(pass_on)
        .with_state(Operators { leader, client });
    if let Err(error) = axum::serve(port, router).await {
        tracing::error!("serving operators ended: {error}");
    }
}

async fn ready(State(operators): State<Operators>) -> Response {
    let leader = operators.leader.borrow().clone();
    match leader {
        Some(leader) => axum::Json(json!({ "ready": true, "leader": leader.admin })).into_response(),
        None => no_leader().into_response(),
    }
}

async fn pass_on(State(mut operators): State<Operators>, request: Request) -> Response {
    let leader = timeout(PATIENCE, operators.leader.wait_for(Option::is_some)).await;
    let Some(leader) = leader.ok().and_then(Result::ok).and_then(|leader| leader.clone()) else {
        return no_leader().into_response();
    };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let asked = operators
        .client
        .request(parts.method, format!("http://{}{path}", leader.admin))
        .headers(headers)
        .body(reqwest::Body::wrap_stream(body.into_data_stream()));
    match asked.send().await {
        Ok(answer) => {
            let (status, mut headers) = (answer.status(), answer.headers().clone());
            const OF_THE_CONNECTION: [HeaderName; 2] = [header::TRANSFER_ENCODING, header::CONNECTION];
            OF_THE_CONNECTION.iter().for_each(|name| {
                headers.remove(name);
            });
            (status, headers, Body::from_stream(answer.bytes_stream())).into_response()
        }
        Err(reason) => {
            warn!(%reason, leader = leader.admin, "the leader did not answer");
            no_leader().into_response()
        }
    }
}

fn no_leader() -> (StatusCode, [(HeaderName, &'static str); 1], Refused) {
    let message = "No control plane leads at the moment, or the one that does can't be reached: retry in a few seconds.";
    let error = ApiError::new(503, "miroir_not_leader", ErrorType::System, message);
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], Refused(error))
}
