//! Who leads: one control plane at a time, for as long as it says so often enough. Each time that one begins to lead it gets a
//! greater token; transactions of any other fail, however late they come.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link::Link;
use super::{json, keys, parse};
use crate::store::StoreError;

/// A leader that has not renewed its lease for so long leads no more.
pub const LEASE: Duration = Duration::from_secs(8);
/// How long one question about the lease is tried.
const PATIENCE: Duration = Duration::from_secs(1);

const TAKE: &str = include_str!("take.lua");
const RENEW: &str = include_str!("renew.lua");

/// Where a control plane is reached by others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Host and port for all that Envoy talks to.
    pub envoy: String,
    /// Host and port for operators.
    pub admin: String,
}

/// What has become of an attempt to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// We lead, with this token.
    Leads(u64),
    /// Another one does.
    Follows(Holder),
}

/// The lease in Redis.
#[derive(Clone, Debug)]
pub struct Lease {
    link: Arc<Link>,
    me: String,
}

impl Lease {
    /// For a control plane that is reached there.
    ///
    /// # Errors
    /// Never for what can be written as JSON.
    pub fn new(link: Arc<Link>, me: &Holder) -> Result<Lease, StoreError> {
        Ok(Lease { link, me: json(me)? })
    }

    /// Leads if nobody does. Who had the lease before at the same address is gone, since we listen there.
    ///
    /// # Errors
    /// If Redis can't be asked.
    pub async fn take(&self) -> Result<Standing, StoreError> {
        let mut take = redis::pipe();
        take.cmd("EVAL").arg(TAKE).arg(2).arg(keys::LEASE).arg(keys::TOKEN);
        take.arg(&self.me).arg(LEASE.as_millis() as u64);
        let ((token, holder),): ((u64, String),) = self.link.ask_within(PATIENCE, &take).await?;
        match token {
            0 => Ok(Standing::Follows(parse(&holder)?)),
            token => Ok(Standing::Leads(token)),
        }
    }

    /// Leads for longer; whether we still do.
    ///
    /// # Errors
    /// If Redis can't be asked.
    pub async fn renew(&self, token: u64) -> Result<bool, StoreError> {
        self.keep(token, LEASE).await
    }

    /// Leads no more, so that another one may at once.
    ///
    /// # Errors
    /// If Redis can't be asked; then the lease ends by itself.
    pub async fn give_up(&self, token: u64) -> Result<(), StoreError> {
        self.keep(token, Duration::ZERO).await.map(drop)
    }

    async fn keep(&self, token: u64, time: Duration) -> Result<bool, StoreError> {
        let mut renew = redis::pipe();
        renew.cmd("EVAL").arg(RENEW).arg(1).arg(keys::LEASE).arg(token).arg(time.as_millis() as u64);
        let (renewed,): (bool,) = self.link.ask_within(PATIENCE, &renew).await?;
        Ok(renewed)
    }
}
