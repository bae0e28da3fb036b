//! Incremental xDS: every answer holds what has changed.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};

use super::envoys::{Connection, Protocol};
use super::service::Stream;
use super::snapshot::{Kind, Snapshot};

/// One stream.
pub struct Incremental {
    connection: Connection,
    subscriptions: BTreeMap<Kind, Subscription>,
    responses: u64,
}

/// What the Envoy asked for of one type.
#[derive(Default)]
struct Subscription {
    /// It wants all that there are.
    wildcard: bool,
    /// It wants these.
    names: BTreeSet<String>,
    /// The version that it has of each resource, or `None` where it was told that there is none.
    known: BTreeMap<String, Option<String>>,
    /// It asked for something that it was not answered yet.
    due: bool,
    /// The versions of answers that it has neither taken nor refused, by nonce.
    unanswered: BTreeMap<String, String>,
}

impl Subscription {
    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }
}

impl Stream for Incremental {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const PROTOCOL: Protocol = Protocol::Incremental;

    fn new(connection: Connection) -> Self {
        Incremental { connection, subscriptions: BTreeMap::new(), responses: 0 }
    }

    fn receive(&mut self, request: DeltaDiscoveryRequest) {
        self.connection.identify(request.node.as_ref());
        let Some(kind) = Kind::of(&request.type_url) else {
            tracing::warn!(
                type_url = request.type_url,
                "an Envoy asks for resources that Miroir doesn't serve"
            );
            return;
        };
        let subscription = self.subscriptions.entry(kind).or_insert_with(|| Subscription {
            wildcard: kind.has_wildcard() && request.resource_names_subscribe.is_empty(),
            known: request.initial_resource_versions.into_iter().map(|(name, v)| (name, Some(v))).collect(),
            due: true,
            ..Subscription::default()
        });
        if let Some(version) = subscription.unanswered.remove(&request.response_nonce) {
            match request.error_detail {
                Some(error) => self.connection.refused(kind, &version, &error.message),
                None => self.connection.acknowledged(kind, &version),
            }
        }
        for name in request.resource_names_subscribe {
            if name == "*" {
                subscription.wildcard = true;
                subscription.due = true;
            } else if subscription.names.insert(name) {
                subscription.due = true;
            }
        }
        for name in request.resource_names_unsubscribe {
            if name == "*" {
                subscription.wildcard = false;
            }
            subscription.names.remove(&name);
            if !subscription.wildcard {
                subscription.known.remove(&name);
            }
        }
    }

    fn responses(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let mut responses = Vec::new();
        for (&kind, subscription) in &mut self.subscriptions {
            let current = snapshot.resources(kind);
            let changed: Vec<Resource> = current
                .by_name
                .iter()
                .filter(|(name, resource)| {
                    let known = subscription.known.get(*name).and_then(Option::as_ref);
                    subscription.wants(name) && known != Some(&resource.version)
                })
                .map(|(name, resource)| Resource {
                    name: name.clone(),
                    version: resource.version.clone(),
                    resource: Some(resource.body.clone()),
                    ..Default::default()
                })
                .collect();
            let told_missing = |name: &String| subscription.known.get(name) == Some(&None);
            let removed: BTreeSet<String> = subscription
                .known
                .keys()
                .chain(&subscription.names)
                .filter(|name| !current.by_name.contains_key(*name) && !told_missing(name))
                .cloned()
                .collect();
            if changed.is_empty() && removed.is_empty() && !subscription.due {
                continue;
            }
            for resource in &changed {
                subscription.known.insert(resource.name.clone(), Some(resource.version.clone()));
            }
            for name in &removed {
                subscription.known.insert(name.clone(), None);
            }
            subscription.due = false;
            self.responses += 1;
            let nonce = self.responses.to_string();
            subscription.unanswered.insert(nonce.clone(), current.version.clone());
            self.connection.sent(kind, &current.version);
            responses.push(DeltaDiscoveryResponse {
                system_version_info: current.version.clone(),
                resources: changed,
                removed_resources: removed.into_iter().collect(),
                type_url: kind.type_url().into(),
                nonce,
                ..Default::default()
            });
        }
        responses
    }
}
