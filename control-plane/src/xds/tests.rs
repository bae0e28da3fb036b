//! What an Envoy sees, over real gRPC.

use std::net::SocketAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster as EnvoyCluster;
use envoy_types::pb::envoy::config::core::v3::{Node, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::pb::google::rpc::Status;
use miroir_core::table::RoutingTable;
use prost::Message;
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::service::Routes;
use tonic::transport::{Channel, Server};

use super::{Delivery, Envoy, Envoys, Kind, Module, Snapshot, Xds, follow};
use crate::cluster::{Cluster, NodeHealth};
use crate::testing;

/// A control plane's xDS on a free port.
struct Served {
    cluster: Arc<Cluster>,
    envoys: Envoys,
    address: SocketAddr,
    stop: CancellationToken,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
}

impl Served {
    /// Serves a cluster whose nodes were not checked yet.
    async fn waiting() -> Served {
        let cluster = testing::open(json!({}), &testing::store()).await.unwrap();
        let (snapshots, snapshot) = watch::channel(None);
        let (envoys, stop) = (Envoys::default(), CancellationToken::new());
        let xds = Xds::new(snapshot, envoys.clone(), stop.clone());
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = port.local_addr().unwrap();
        let routes = xds.routes(Routes::default());
        tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(TcpListenerStream::new(port)));
        Served { cluster, envoys, address, stop, snapshots }
    }

    async fn start() -> Served {
        let served = Served::waiting().await;
        served.follow();
        served
    }

    fn follow(&self) {
        let module = Module::Local("/filter.wasm".into());
        tokio::spawn(follow(self.cluster.clone(), module, self.snapshots.clone()));
    }

    async fn connect(&self) -> AggregatedDiscoveryServiceClient<Channel> {
        AggregatedDiscoveryServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    async fn set_up(&self, node: &str, up: bool) -> Arc<RoutingTable> {
        let health = NodeHealth { up, reason: None, since: OffsetDateTime::UNIX_EPOCH };
        self.cluster.health.write().await.insert(node.into(), health);
        self.cluster.publish().await.unwrap()
    }

    /// Waits until the one Envoy's state is as described.
    async fn until(&self, condition: impl Fn(&Envoy) -> bool) {
        let mut envoys = self.envoys.subscribe();
        envoys.wait_for(|envoys| envoys.values().any(&condition)).await.unwrap();
    }
}

fn delivery(envoy: &Envoy, kind: Kind) -> Delivery {
    envoy.resources.get(&kind).cloned().unwrap_or_default()
}

fn node() -> Option<Node> {
    Some(Node { id: "envoy-1".into(), cluster: "edge".into(), ..Default::default() })
}

fn refusal() -> Option<Status> {
    Some(Status { code: 3, message: "no such filter".into(), ..Default::default() })
}

fn table_of(body: &[u8]) -> RoutingTable {
    let extension = TypedExtensionConfig::decode(body).unwrap();
    let wasm = Wasm::decode(&extension.typed_config.unwrap().value[..]).unwrap();
    let configuration = wasm.config.unwrap().configuration.unwrap();
    let json = StringValue::decode(&configuration.value[..]).unwrap().value;
    RoutingTable::from_json(json.as_bytes()).unwrap()
}

/// An Envoy that speaks state-of-the-world xDS.
struct StateOfTheWorld {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl StateOfTheWorld {
    async fn connect(served: &Served) -> Self {
        let (requests, receiver) = mpsc::channel(8);
        let mut client = served.connect().await;
        let responses = client.stream_aggregated_resources(ReceiverStream::new(receiver));
        StateOfTheWorld { requests, responses: responses.await.unwrap().into_inner() }
    }

    async fn say(&self, request: DiscoveryRequest) {
        self.requests.send(DiscoveryRequest { node: node(), ..request }).await.unwrap();
    }

    async fn ask(&mut self, kind: Kind, names: &[&str]) {
        let resource_names = names.iter().map(|name| name.to_string()).collect();
        self.say(DiscoveryRequest { type_url: kind.type_url().into(), resource_names, ..Default::default() })
            .await;
    }

    async fn hear(&mut self) -> DiscoveryResponse {
        self.responses.message().await.unwrap().unwrap()
    }

    async fn answer(&self, response: &DiscoveryResponse, error_detail: Option<Status>) {
        let names = if response.type_url == Kind::Filter.type_url() { vec!["miroir".into()] } else { vec![] };
        self.say(DiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            resource_names: names,
            error_detail,
            ..Default::default()
        })
        .await;
    }
}

/// An Envoy that speaks incremental xDS.
struct Incremental {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Incremental {
    async fn connect(served: &Served) -> Self {
        let (requests, receiver) = mpsc::channel(8);
        let mut client = served.connect().await;
        let responses = client.delta_aggregated_resources(ReceiverStream::new(receiver));
        Incremental { requests, responses: responses.await.unwrap().into_inner() }
    }

    async fn say(&self, kind: Kind, request: DeltaDiscoveryRequest) {
        let request = DeltaDiscoveryRequest { node: node(), type_url: kind.type_url().into(), ..request };
        self.requests.send(request).await.unwrap();
    }

    async fn subscribe(&self, kind: Kind, names: &[&str]) {
        let resource_names_subscribe = names.iter().map(|name| name.to_string()).collect();
        self.say(kind, DeltaDiscoveryRequest { resource_names_subscribe, ..Default::default() }).await;
    }

    async fn hear(&mut self) -> DeltaDiscoveryResponse {
        self.responses.message().await.unwrap().unwrap()
    }

    async fn answer(&self, kind: Kind, response: &DeltaDiscoveryResponse, error_detail: Option<Status>) {
        let response_nonce = response.nonce.clone();
        self.say(kind, DeltaDiscoveryRequest { response_nonce, error_detail, ..Default::default() }).await;
    }
}

#[tokio::test]
async fn an_envoy_gets_clusters_listener_and_filter_and_what_it_took_is_known() {
    let served = Served::start().await;
    let mut envoy = StateOfTheWorld::connect(&served).await;

    envoy.ask(Kind::Clusters, &[]).await;
    let clusters = envoy.hear().await;
    let names = clusters.resources.iter().map(|body| EnvoyCluster::decode(&body.value[..]).unwrap().name);
    assert_eq!(names.collect::<Vec<_>>(), ["miroir-node-a", "miroir-node-b", "miroir-node-c"]);
    envoy.answer(&clusters, None).await;

    envoy.ask(Kind::Listeners, &[]).await;
    let listeners = envoy.hear().await;
    assert_eq!(listeners.resources.len(), 1);
    envoy.answer(&listeners, None).await;

    envoy.ask(Kind::Filter, &["miroir"]).await;
    let filter = envoy.hear().await;
    assert_eq!(table_of(&filter.resources[0].value), *served.cluster.table());
    envoy.answer(&filter, None).await;

    let taken = |version: &str| Delivery {
        sent: Some(version.into()),
        acknowledged: Some(version.into()),
        refused: None,
    };
    served
        .until(|envoy| {
            (envoy.node.as_str(), envoy.cluster.as_str()) == ("envoy-1", "edge")
                && delivery(envoy, Kind::Clusters) == taken(&clusters.version_info)
                && delivery(envoy, Kind::Listeners) == taken(&listeners.version_info)
                && delivery(envoy, Kind::Filter) == taken(&filter.version_info)
        })
        .await;

    drop(envoy);
    served.envoys.subscribe().wait_for(|envoys| envoys.is_empty()).await.unwrap();
}

#[tokio::test]
async fn a_nodes_health_changes_the_filter_and_not_the_clusters() {
    let served = Served::start().await;
    let mut envoy = StateOfTheWorld::connect(&served).await;
    envoy.ask(Kind::Clusters, &[]).await;
    let clusters = envoy.hear().await;
    envoy.answer(&clusters, None).await;
    envoy.ask(Kind::Filter, &["miroir"]).await;
    let filter = envoy.hear().await;
    envoy.answer(&filter, None).await;

    for up in [true, false] {
        let table = served.set_up("a", up).await;
        let update = envoy.hear().await;
        assert_eq!(update.type_url, Kind::Filter.type_url());
        assert_eq!(update.version_info, format!("1.{}", table.version));
        assert_eq!(table_of(&update.resources[0].value).nodes[0].up, up);
        envoy.answer(&update, None).await;
    }
    served.until(|envoy| delivery(envoy, Kind::Clusters).sent == Some(clusters.version_info.clone())).await;
}

#[tokio::test]
async fn a_refusal_is_kept_in_envoys_words_until_something_newer_is_taken() {
    let served = Served::start().await;
    let mut envoy = StateOfTheWorld::connect(&served).await;
    envoy.ask(Kind::Filter, &["miroir"]).await;
    let refused = envoy.hear().await;
    envoy.answer(&refused, refusal()).await;
    served
        .until(|envoy| {
            let delivery = delivery(envoy, Kind::Filter);
            delivery.acknowledged.is_none()
                && delivery.refused.is_some_and(|refusal| {
                    refusal.version == refused.version_info && refusal.message == "no such filter"
                })
        })
        .await;

    // What was refused is not sent again; what is new is.
    let table = served.set_up("a", true).await;
    let next = envoy.hear().await;
    assert_eq!(next.version_info, format!("1.{}", table.version));
    envoy.answer(&next, None).await;
    served
        .until(|envoy| {
            let delivery = delivery(envoy, Kind::Filter);
            delivery.refused.is_none() && delivery.acknowledged == Some(next.version_info.clone())
        })
        .await;
}

#[tokio::test]
async fn an_answer_to_an_older_answer_acknowledges_nothing() {
    let served = Served::start().await;
    let mut envoy = StateOfTheWorld::connect(&served).await;
    envoy.ask(Kind::Filter, &["miroir"]).await;
    let first = envoy.hear().await;
    served.set_up("a", true).await;
    let second = envoy.hear().await;
    envoy.answer(&first, refusal()).await;
    envoy.answer(&second, None).await;
    served
        .until(|envoy| {
            let delivery = delivery(envoy, Kind::Filter);
            assert_eq!(delivery.refused, None);
            delivery.acknowledged == Some(second.version_info.clone())
        })
        .await;
}

#[tokio::test]
async fn an_incremental_envoy_gets_what_it_lacks() {
    let served = Served::start().await;
    let mut envoy = Incremental::connect(&served).await;
    envoy.subscribe(Kind::Clusters, &[]).await;
    let all = envoy.hear().await;
    assert_eq!(all.resources.len(), 3);
    envoy.answer(Kind::Clusters, &all, None).await;
    envoy.subscribe(Kind::Filter, &["miroir"]).await;
    let filter = envoy.hear().await;
    assert_eq!(table_of(&filter.resources[0].resource.as_ref().unwrap().value), *served.cluster.table());
    envoy.answer(Kind::Filter, &filter, None).await;
    served.until(|envoy| delivery(envoy, Kind::Filter).acknowledged.is_some()).await;

    let table = served.set_up("b", true).await;
    let update = envoy.hear().await;
    assert_eq!(update.type_url, Kind::Filter.type_url());
    assert_eq!(update.resources[0].version, format!("1.{}", table.version));
    envoy.answer(Kind::Filter, &update, refusal()).await;
    served.until(|envoy| delivery(envoy, Kind::Filter).refused.is_some()).await;

    // It reconnects with two clusters that it has, one of which is no more.
    let known = [&all.resources[0], &all.resources[1]].map(|r| (r.name.clone(), r.version.clone()));
    let gone = ("miroir-node-z".to_owned(), "1".to_owned());
    let initial_resource_versions = known.into_iter().chain([gone]).collect();
    let mut again = Incremental::connect(&served).await;
    let request = DeltaDiscoveryRequest { initial_resource_versions, ..Default::default() };
    again.say(Kind::Clusters, request).await;
    let rest = again.hear().await;
    assert_eq!(rest.resources.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["miroir-node-c"]);
    assert_eq!(rest.removed_resources, ["miroir-node-z"]);
}

#[tokio::test]
async fn an_incremental_envoy_is_told_what_does_not_exist() {
    let served = Served::start().await;
    let mut envoy = Incremental::connect(&served).await;
    envoy.subscribe(Kind::Filter, &["other"]).await;
    let response = envoy.hear().await;
    assert!(response.resources.is_empty());
    assert_eq!(response.removed_resources, ["other"]);
}

#[tokio::test]
async fn an_envoy_keeps_what_it_has_until_the_nodes_were_checked() {
    let served = Served::waiting().await;
    let mut envoy = StateOfTheWorld::connect(&served).await;
    envoy.ask(Kind::Filter, &["miroir"]).await;
    served.until(|envoy| envoy.node == "envoy-1").await;
    served.set_up("a", true).await;
    served.follow();
    let first = envoy.hear().await;
    assert!(table_of(&first.resources[0].value).nodes[0].up);
}

#[tokio::test]
async fn streams_end_when_the_control_plane_stops() {
    let served = Served::start().await;
    let mut envoy = StateOfTheWorld::connect(&served).await;
    envoy.ask(Kind::Clusters, &[]).await;
    envoy.hear().await;
    served.stop.cancel();
    assert!(envoy.responses.message().await.unwrap().is_none());
}
