//! A task store in a Redis, as the control plane has it that leads.

use std::sync::Arc;

use anyhow::{Result, bail};
use miroir_control_plane::config::{Backend, TaskStoreConfig};
use miroir_control_plane::leadership::Term;
use miroir_control_plane::store::{Holder, LEASE, Lease, Link, RedisStore, Standing};
use miroir_harness::Redis;
use tokio::task::JoinHandle;
use tokio::time::interval;

/// Leads until it is dropped.
pub struct Leader {
    /// The store.
    pub store: Arc<RedisStore>,
    /// The connection, for what is no matter of the store.
    pub link: Arc<Link>,
    renewing: JoinHandle<()>,
}

impl Leader {
    /// Of an empty Redis.
    pub async fn of(redis: &Redis) -> Result<Leader> {
        let config =
            TaskStoreConfig { backend: Backend::Redis, url: Some(redis.url()), ..TaskStoreConfig::default() };
        let link = Arc::new(Link::open(&config)?);
        let us = Holder { envoy: "bench:18000".into(), admin: "bench:8080".into() };
        let lease = Lease::new(link.clone(), &us)?;
        let Standing::Leads(token) = lease.take().await? else { bail!("another one leads") };
        let store = Arc::new(RedisStore::open(link.clone(), token, Term::endless()).await?);
        let renewing = tokio::spawn(async move {
            let mut ticks = interval(LEASE / 8);
            // Should it be lost, the store itself says so.
            while lease.renew(token).await.unwrap_or(true) {
                ticks.tick().await;
            }
        });
        Ok(Leader { store, link, renewing })
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}
