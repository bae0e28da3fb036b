//! State-of-the-world xDS: every answer holds all resources of a type.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::envoys::{Connection, Protocol};
use super::service::Stream;
use super::snapshot::{Kind, Snapshot};

/// One stream.
pub struct StateOfTheWorld {
    connection: Connection,
    subscriptions: BTreeMap<Kind, Subscription>,
    responses: u64,
}

/// What the Envoy asked for of one type.
struct Subscription {
    /// Empty stands for all.
    names: BTreeSet<String>,
    /// It asked for something that it was not answered yet.
    due: bool,
    /// Version and nonce of the last answer.
    sent: Option<(String, String)>,
}

impl Stream for StateOfTheWorld {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const PROTOCOL: Protocol = Protocol::StateOfTheWorld;

    fn new(connection: Connection) -> Self {
        StateOfTheWorld { connection, subscriptions: BTreeMap::new(), responses: 0 }
    }

    fn receive(&mut self, request: DiscoveryRequest) {
        self.connection.identify(request.node.as_ref());
        let Some(kind) = Kind::of(&request.type_url) else {
            tracing::warn!(
                type_url = request.type_url,
                "an Envoy asks for resources that Miroir doesn't serve"
            );
            return;
        };
        let names: BTreeSet<String> = request.resource_names.into_iter().filter(|name| name != "*").collect();
        let Some(subscription) = self.subscriptions.get_mut(&kind) else {
            self.subscriptions.insert(kind, Subscription { names, due: true, sent: None });
            return;
        };
        if let Some((version, nonce)) = &subscription.sent {
            if *nonce != request.response_nonce {
                // It answers an older answer; the newer one will be answered too.
                return;
            }
            match request.error_detail {
                Some(error) => self.connection.refused(kind, version, &error.message),
                None => self.connection.acknowledged(kind, version),
            }
        }
        subscription.due |= !names.is_subset(&subscription.names);
        subscription.names = names;
    }

    fn responses(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        let mut responses = Vec::new();
        for (&kind, subscription) in &mut self.subscriptions {
            let resources = snapshot.resources(kind);
            let wanted = kind.has_wildcard() || !subscription.names.is_empty();
            let outdated =
                subscription.sent.as_ref().is_none_or(|(version, _)| *version != resources.version);
            if !wanted || !(subscription.due || outdated) {
                continue;
            }
            self.responses += 1;
            let nonce = self.responses.to_string();
            let asked = |name: &str| subscription.names.is_empty() || subscription.names.contains(name);
            let bodies = resources.by_name.iter().filter(|(name, _)| asked(name));
            responses.push(DiscoveryResponse {
                version_info: resources.version.clone(),
                resources: bodies.map(|(_, resource)| resource.body.clone()).collect(),
                type_url: kind.type_url().into(),
                nonce: nonce.clone(),
                ..Default::default()
            });
            subscription.due = false;
            subscription.sent = Some((resources.version.clone(), nonce));
            self.connection.sent(kind, &resources.version);
        }
        responses
    }
}
