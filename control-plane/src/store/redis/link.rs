//! The connection to Redis: it is made anew when it is lost, and what was asked is asked again for a while.

use std::time::{Duration, Instant};

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RetryMethod,
    ServerErrorKind, TlsCertificates,
};
use tokio::sync::Mutex;
use tracing::warn;

use crate::config::TaskStoreConfig;
use crate::store::StoreError;

/// How long Redis may take to accept a connection, and to answer.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(3);
/// For so long one that can't be reached, or is just being replaced, is tried again before a client hears of it.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// Speaks to one Redis.
#[derive(Debug)]
pub struct Link {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    /// To the Redis of a configuration. Does not connect yet.
    ///
    /// # Errors
    /// If the configuration names none, or its certificates can't be read.
    pub fn open(config: &TaskStoreConfig) -> anyhow::Result<Link> {
        let info = config.url.as_deref().unwrap_or_default().into_connection_info()?;
        let info = match config.password.expose() {
            "" => info,
            password => {
                let settings = info.redis_settings().clone().set_password(password);
                info.set_redis_settings(settings)
            }
        };
        let client = match &config.ca_file {
            None => Client::open(info)?,
            Some(path) => {
                let root_cert =
                    std::fs::read(path).with_context(|| format!("`ca_file` is {}", path.display()))?;
                Client::build_with_tls(
                    info,
                    TlsCertificates { client_tls: None, root_cert: Some(root_cert) },
                )?
            }
        };
        Ok(Link::new(client))
    }

    /// Does not connect yet.
    pub fn new(client: Client) -> Link {
        Link { client, connection: Mutex::default() }
    }

    /// Asks, and asks again while Redis can't be reached. What is asked may so be done twice.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if there is no answer for too long, [`StoreError::Backend`] if there is one that says that
    /// it can't be done.
    pub async fn ask<T: FromRedisValue>(&self, request: &Pipeline) -> Result<T, StoreError> {
        self.ask_within(PATIENCE, request).await
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_within<T: FromRedisValue>(
        &self,
        patience: Duration,
        request: &Pipeline,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + patience;
        loop {
            let error = match self.connection().await {
                Ok(mut connection) => match request.query_async(&mut connection).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let Some(is_lost) = may_pass(&error) else { return Err(StoreError::Backend(error.to_string())) };
            if is_lost {
                *self.connection.lock().await = None;
            }
            if Instant::now() + PAUSE > deadline {
                warn!(%error, "Redis can't be reached");
                return Err(StoreError::Unreachable(error.to_string()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let new = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(connection.insert(new).clone())
    }
}

/// Whether the connection is of no use any more; `None` if to ask again would not help.
fn may_pass(error: &RedisError) -> Option<bool> {
    // One that was a primary: its name may lead to another one by now.
    if error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly) {
        return Some(true);
    }
    match error.retry_method() {
        RetryMethod::RetryImmediately | RetryMethod::WaitAndRetry => Some(error.is_io_error()),
        RetryMethod::NoRetry if !error.is_io_error() => None,
        _ => Some(true),
    }
}
