//! Which request goes where.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::any_node::{self, AnyNode, Expect};
use crate::decoding::{Decoding, Encoding};
use crate::documents::browse::Browse;
use crate::documents::change::{Action, Change};
use crate::documents::delete::Delete;
use crate::documents::get::Get;
use crate::documents::write::Write;
use crate::error::{ApiError, ErrorType, invalid_index_uid, is_index_uid};
use crate::exchange::{Exchange, Reply, RequestHead};
use crate::fan_out::FanOut;
use crate::proxy::Proxy;
use crate::routing::Routing;
use crate::search::facet_search::FacetSearch;
use crate::search::multi::MultiSearch;
use crate::search::question::Search;
use crate::search::similar::Similar;

/// A kind of request, as the statistics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `/indexes/{uid}/search`
    Search,
    /// `/multi-search`
    MultiSearch,
    /// `/indexes/{uid}/facet-search`
    FacetSearch,
    /// `/indexes/{uid}/similar`
    Similar,
    /// Documents added, replaced or updated.
    Write,
    /// Documents deleted.
    Delete,
    /// Documents edited by a function.
    Edit,
    /// One document read.
    Get,
    /// Documents read by their places.
    Browse,
    /// Answered by the filter itself, or by any node.
    Instance,
    /// Answered by the control plane.
    Control,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Kind::Search,
        Kind::MultiSearch,
        Kind::FacetSearch,
        Kind::Similar,
        Kind::Write,
        Kind::Delete,
        Kind::Edit,
        Kind::Get,
        Kind::Browse,
        Kind::Instance,
        Kind::Control,
    ];

    /// Its name in the statistics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Search => "search",
            Kind::MultiSearch => "multi_search",
            Kind::FacetSearch => "facet_search",
            Kind::Similar => "similar",
            Kind::Write => "write",
            Kind::Delete => "delete",
            Kind::Edit => "edit",
            Kind::Get => "get",
            Kind::Browse => "browse",
            Kind::Instance => "instance",
            Kind::Control => "control",
        }
    }
}

/// Where a request goes.
pub enum Destination {
    /// To a state machine.
    Exchange(Box<dyn Exchange>),
    /// Nowhere: this is the answer.
    Reply(Reply),
}

impl<E: Exchange + 'static> From<E> for Destination {
    fn from(exchange: E) -> Destination {
        Destination::Exchange(Box::new(exchange))
    }
}

/// Finds the destination of a request by its method and path.
pub fn route(routing: Arc<Routing>, mut head: RequestHead) -> (Kind, Destination) {
    head.target = normalized(&head.target);
    let encoding = Encoding::take(&mut head);
    match (destination(routing, head), encoding) {
        ((kind, Destination::Exchange(exchange)), Some(encoding)) => {
            (kind, Decoding::new(exchange, encoding).into())
        }
        (destination, _) => destination,
    }
}

fn destination(routing: Arc<Routing>, head: RequestHead) -> (Kind, Destination) {
    let path = head.path().to_string();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if segments.first() == Some(&"_miroir") {
        return (Kind::Instance, Destination::Reply(admin_is_elsewhere().into()));
    }
    /// Makes an exchange of the routing, the head, the index's uid and the last segment of the path.
    type Make = fn(Arc<Routing>, RequestHead, String, &str) -> Destination;
    let (kind, uid, make): (Kind, &str, Make) = match (&*head.method, segments.as_slice()) {
        ("GET", ["health"]) => return (Kind::Instance, Destination::Reply(any_node::health())),
        ("GET", ["version"]) => {
            return (Kind::Instance, AnyNode::new(routing, head, Expect::Answer).into());
        }
        ("POST", ["multi-search"]) => {
            return (Kind::MultiSearch, FanOut::<MultiSearch>::new(routing, head, String::new()).into());
        }
        ("POST", ["indexes", uid, "facet-search"]) => (Kind::FacetSearch, uid, |routing, head, index, _| {
            FanOut::<FacetSearch>::new(routing, head, index).into()
        }),
        ("GET" | "POST", ["indexes", uid, "similar"]) => (Kind::Similar, uid, |routing, head, index, _| {
            FanOut::<Similar>::new(routing, head, index).into()
        }),
        ("GET" | "POST", ["indexes", uid, "search"]) => {
            (Kind::Search, uid, |routing, head, index, _| FanOut::<Search>::new(routing, head, index).into())
        }
        ("POST" | "PUT", ["indexes", uid, "documents"]) => {
            (Kind::Write, uid, |routing, head, index, _| Write::destination(routing, head, index))
        }
        ("POST", ["indexes", uid, "documents", "delete-batch"]) => {
            (Kind::Delete, uid, |routing, head, index, _| Delete::destination(routing, head, index, None))
        }
        ("DELETE", ["indexes", uid, "documents"]) => (Kind::Delete, uid, |routing, head, index, _| {
            Change::destination(routing, head, index, Action::Clear)
        }),
        ("POST", ["indexes", uid, "documents", "delete"]) => {
            (Kind::Delete, uid, |routing, head, index, _| {
                Change::destination(routing, head, index, Action::Delete)
            })
        }
        ("POST", ["indexes", uid, "documents", "edit"]) => (Kind::Edit, uid, |routing, head, index, _| {
            Change::destination(routing, head, index, Action::Edit)
        }),
        ("GET", ["indexes", uid, "documents"]) | ("POST", ["indexes", uid, "documents", "fetch"]) => {
            (Kind::Browse, uid, |routing, head, index, _| FanOut::<Browse>::new(routing, head, index).into())
        }
        ("GET", ["indexes", uid, "documents", id]) if !id.is_empty() => {
            (Kind::Get, uid, |routing, head, index, id| Get::new(routing, head, index, id.into()).into())
        }
        ("DELETE", ["indexes", uid, "documents", id]) if !id.is_empty() => {
            (Kind::Delete, uid, |routing, head, index, id| {
                Delete::destination(routing, head, index, Some(id.into()))
            })
        }
        (_, segments) if is_ours(segments) => return (Kind::Instance, Destination::Reply(not_allowed())),
        _ => return (Kind::Control, Proxy::new(routing, head).into()),
    };
    let uid = percent_decode_str(uid).decode_utf8_lossy();
    if !is_index_uid(&uid) {
        return (kind, Destination::Reply(invalid_index_uid(&uid).into()));
    }
    let last = segments.last().copied().unwrap_or_default();
    let id = percent_decode_str(last).decode_utf8_lossy();
    (kind, make(routing, head, uid.into_owned(), &id))
}

/// Whether the control plane knows nothing of this path, whatever the method.
fn is_ours(segments: &[&str]) -> bool {
    matches!(
        segments,
        ["health" | "version" | "multi-search"]
            | ["indexes", _, "search" | "facet-search" | "similar" | "documents"]
            | ["indexes", _, "documents", _]
    )
}

/// Meilisearch's answer to a method that a path doesn't have: no body.
fn not_allowed() -> Reply {
    Reply { status: 405, headers: Vec::new(), body: Vec::new() }
}

/// The target as Meilisearch reads it: slashes in a row are one, one at the end is none, and what is no UTF-8 in the
/// path is replaced.
fn normalized(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut normalized = String::with_capacity(target.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        normalized.push('/');
        let decoded = percent_decode_str(segment);
        match decoded.clone().decode_utf8() {
            Ok(_) => normalized.push_str(segment),
            Err(_) => {
                normalized.extend(utf8_percent_encode(&decoded.decode_utf8_lossy(), NON_ALPHANUMERIC));
            }
        }
    }
    if normalized.is_empty() {
        normalized.push('/');
    }
    normalized + query
}

fn admin_is_elsewhere() -> ApiError {
    let message = "The admin API is not served here: it listens on the control plane's own port.";
    ApiError::new(404, "not_found", ErrorType::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn paths_are_read_as_meilisearch_reads_them() {
        let cases = [
            ("/health/", "/health"),
            ("//indexes///a/search/?q=/x//", "/indexes/a/search?q=/x//"),
            ("/indexes/%ff/search", "/indexes/%EF%BF%BD/search"),
            ("/indexes/%C3%BC?q=%ff", "/indexes/%C3%BC?q=%ff"),
            ("/", "/"),
            ("?q=1", "/?q=1"),
            ("", "/"),
        ];
        for (target, expected) in cases {
            assert_eq!(normalized(target), expected);
        }
    }

    #[test]
    fn a_method_that_a_path_has_not_is_not_allowed() {
        let status = |method: &str, target: &str| {
            let head = RequestHead { method: method.into(), target: target.into(), headers: Vec::new() };
            match route(Arc::new(Routing::new(table(4, 1, 1, 1))), head).1 {
                Destination::Reply(reply) => Some(reply.status),
                Destination::Exchange(_) => None,
            }
        };
        assert_eq!(status("GET", "/health/"), Some(200));
        for (method, target) in [
            ("POST", "/health"),
            ("PUT", "/indexes/a/search"),
            ("PUT", "/indexes/a/documents/1"),
            ("PATCH", "/indexes/a/documents/delete-batch"),
        ] {
            assert_eq!(status(method, target), Some(405), "{method} {target}");
        }
        assert_eq!(status("POST", "/indexes/a/documents/fetch"), None);
        assert_eq!(status("GET", "//_miroir/topology"), Some(404));
    }
}
