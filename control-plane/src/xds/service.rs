//! The gRPC services: ADS, and CDS and ECDS by themselves for a mesh whose ADS is another's.

use std::sync::Arc;

use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_server::{
    ClusterDiscoveryService, ClusterDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::extension::v3::extension_config_discovery_service_server::{
    ExtensionConfigDiscoveryService, ExtensionConfigDiscoveryServiceServer,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::delta::Incremental;
use super::envoys::{Connection, Envoys, Protocol};
use super::snapshot::{Kind, Snapshot};
use super::sotw::StateOfTheWorld;

/// Serves Envoys.
#[derive(Clone)]
pub struct Xds {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    envoys: Envoys,
    stop: CancellationToken,
}

/// One variant of the protocol: what an Envoy asked for and was told on one stream.
pub(super) trait Stream: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;
    const PROTOCOL: Protocol;

    fn new(connection: Connection) -> Self;
    /// Takes in what the Envoy says.
    fn receive(&mut self, request: Self::Request);
    /// What the Envoy must be told, now that `snapshot` holds.
    fn responses(&mut self, snapshot: &Snapshot) -> Vec<Self::Response>;
}

type Responses<T> = ReceiverStream<Result<T, Status>>;

impl Xds {
    /// Serves snapshots until `stop`. While there is none, Envoys wait and go on with what they have.
    pub fn new(
        snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
        envoys: Envoys,
        stop: CancellationToken,
    ) -> Xds {
        Xds { snapshots, envoys, stop }
    }

    /// Adds the services to a server.
    pub fn routes(self, routes: tonic::service::Routes) -> tonic::service::Routes {
        routes
            .add_service(AggregatedDiscoveryServiceServer::new(self.clone()))
            .add_service(ClusterDiscoveryServiceServer::new(self.clone()))
            .add_service(ExtensionConfigDiscoveryServiceServer::new(self))
    }

    fn open<S: Stream>(&self, request: Request<Streaming<S::Request>>) -> Response<Responses<S::Response>> {
        let (sender, receiver) = mpsc::channel(Kind::ALL.len());
        let stream = S::new(self.envoys.connect(S::PROTOCOL));
        let talk = talk(stream, request.into_inner(), self.snapshots.clone(), sender);
        let stop = self.stop.clone();
        tokio::spawn(stop.run_until_cancelled_owned(talk));
        Response::new(ReceiverStream::new(receiver))
    }
}

/// Talks with one Envoy until it leaves.
async fn talk<S: Stream>(
    mut stream: S,
    mut requests: Streaming<S::Request>,
    mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    responses: mpsc::Sender<Result<S::Response, Status>>,
) {
    loop {
        tokio::select! {
            request = requests.message() => match request {
                Ok(Some(request)) => stream.receive(request),
                Ok(None) | Err(_) => return,
            },
            changed = snapshots.changed() => if changed.is_err() { return },
        }
        let snapshot = snapshots.borrow_and_update().clone();
        let Some(snapshot) = snapshot else { continue };
        for response in stream.responses(&snapshot) {
            if responses.send(Ok(response)).await.is_err() {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Xds {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Ok(self.open::<StateOfTheWorld>(request))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Ok(self.open::<Incremental>(request))
    }
}

#[tonic::async_trait]
impl ClusterDiscoveryService for Xds {
    type StreamClustersStream = Responses<DiscoveryResponse>;
    type DeltaClustersStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_clusters(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamClustersStream>, Status> {
        Ok(self.open::<StateOfTheWorld>(request))
    }

    async fn delta_clusters(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaClustersStream>, Status> {
        Ok(self.open::<Incremental>(request))
    }

    async fn fetch_clusters(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(no_polling())
    }
}

#[tonic::async_trait]
impl ExtensionConfigDiscoveryService for Xds {
    type StreamExtensionConfigsStream = Responses<DiscoveryResponse>;
    type DeltaExtensionConfigsStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_extension_configs(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamExtensionConfigsStream>, Status> {
        Ok(self.open::<StateOfTheWorld>(request))
    }

    async fn delta_extension_configs(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaExtensionConfigsStream>, Status> {
        Ok(self.open::<Incremental>(request))
    }

    async fn fetch_extension_configs(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(no_polling())
    }
}

fn no_polling() -> Status {
    Status::unimplemented("Miroir's xDS is streamed: set `api_type: GRPC` or `DELTA_GRPC`")
}
