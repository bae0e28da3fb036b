//! Which request goes where.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::alias::{self, IndexName, Named};
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
use crate::fresh::{FreshRead, Freshness};
use crate::idempotency;
use crate::proxy::Proxy;
use crate::routing::{Latest, Routing};
use crate::search::alias::{self as alias_search, AliasedMultiSearch};
use crate::search::facet_search::FacetSearch;
use crate::search::multi::MultiSearch;
use crate::search::question::Search;
use crate::search::similar::Similar;
use crate::session::session;

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

    /// Whether it reads documents.
    fn reads(self) -> bool {
        matches!(
            self,
            Kind::Search | Kind::MultiSearch | Kind::FacetSearch | Kind::Similar | Kind::Get | Kind::Browse
        )
    }

    /// Whether it may make a task.
    fn may_write(self) -> bool {
        matches!(self, Kind::Write | Kind::Delete | Kind::Edit | Kind::Control)
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
pub fn route(latest: &Latest, mut head: RequestHead) -> (Kind, Destination) {
    head.target = normalized(&head.target);
    let encoding = Encoding::take(&mut head);
    let checked = check(&head);
    let freshness = Freshness::of(&head, latest);
    let waits = matches!(&freshness, Ok(freshness) if !freshness.is_given(latest)).then(|| head.clone());
    let (kind, destination) = destination(latest.get(), head);
    let destination = match (freshness, waits) {
        (Err(error), _) if kind.reads() => Destination::Reply(error.into()),
        (Ok(freshness), Some(head)) if kind.reads() => FreshRead::new(latest.clone(), head, freshness).into(),
        _ => match checked {
            Err(error) if kind.may_write() => Destination::Reply(error.into()),
            _ => destination,
        },
    };
    match (destination, encoding) {
        (Destination::Exchange(exchange), Some(encoding)) => (kind, Decoding::new(exchange, encoding).into()),
        (destination, _) => (kind, destination),
    }
}

/// What may be wrong with what a request says of the task that it makes.
fn check(head: &RequestHead) -> Result<(), ApiError> {
    if head.method != "GET" {
        idempotency::key(head)?;
        session(head)?;
    }
    Ok(())
}

/// Where a request goes that has a path as [`normalized`] and waits for nothing.
pub(crate) fn destination(routing: Arc<Routing>, head: RequestHead) -> (Kind, Destination) {
    let path = head.path().to_string();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if segments.first() == Some(&"_miroir") {
        return (Kind::Instance, Destination::Reply(admin_is_elsewhere().into()));
    }
    /// Makes an exchange of the routing, the head, the index and the last segment of the path.
    type Make = fn(Arc<Routing>, RequestHead, IndexName, &str) -> Destination;
    let (kind, uid, make): (Kind, &str, Make) = match (&*head.method, segments.as_slice()) {
        ("GET", ["health"]) => return (Kind::Instance, Destination::Reply(any_node::health())),
        ("GET", ["version"]) => {
            return (Kind::Instance, AnyNode::new(routing, head, Expect::Answer).into());
        }
        ("POST", ["multi-search"]) => {
            let destination = match routing.table.aliases.is_empty() {
                true => FanOut::<MultiSearch>::new(routing, head, String::new()).into(),
                false => AliasedMultiSearch::new(routing, head).into(),
            };
            return (Kind::MultiSearch, destination);
        }
        ("POST", ["indexes", uid, "facet-search"]) => (Kind::FacetSearch, uid, |routing, head, index, _| {
            FanOut::<FacetSearch>::new(routing, head, index.uid).into()
        }),
        ("GET" | "POST", ["indexes", uid, "similar"]) => (Kind::Similar, uid, |routing, head, index, _| {
            FanOut::<Similar>::new(routing, head, index.uid).into()
        }),
        ("GET" | "POST", ["indexes", uid, "search"]) => (Kind::Search, uid, |routing, head, index, _| {
            FanOut::<Search>::new(routing, head, index.uid).into()
        }),
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
            (Kind::Browse, uid, |routing, head, index, _| {
                FanOut::<Browse>::new(routing, head, index.uid).into()
            })
        }
        ("GET", ["indexes", uid, "documents", id]) if !id.is_empty() => {
            (Kind::Get, uid, |routing, head, index, id| Get::new(routing, head, index.uid, id.into()).into())
        }
        ("DELETE", ["indexes", uid, "documents", id]) if !id.is_empty() => {
            (Kind::Delete, uid, |routing, head, index, id| {
                Delete::destination(routing, head, index, Some(id.into()))
            })
        }
        (_, segments) if is_ours(segments) => return (Kind::Instance, Destination::Reply(not_allowed())),
        _ => return (Kind::Control, Proxy::new(routing, head).into()),
    };
    let uid = percent_decode_str(uid).decode_utf8_lossy().into_owned();
    if !is_index_uid(&uid) {
        return (kind, Destination::Reply(invalid_index_uid(&uid).into()));
    }
    let last = segments.last().copied().unwrap_or_default();
    let id = percent_decode_str(last).decode_utf8_lossy();
    let destination = match (alias::resolve(&routing, uid.clone()), kind) {
        (Named::Index(index), _) => {
            let head = if index.alias.is_some() { alias::about(head, &index.uid) } else { head };
            make(routing, head, index, &id)
        }
        (Named::Indexes(indexes), Kind::Search) => alias_search::search(routing, head, &uid, &indexes).into(),
        // The control plane refuses it, to whom may know.
        (Named::Indexes(_), _) => Proxy::without_body(routing, head).into(),
    };
    (kind, destination)
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
    use crate::exchange::Step;
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
            match route(&Latest::new(Arc::new(Routing::new(table(4, 1, 1, 1)))), head).1 {
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

    #[test]
    fn an_alias_goes_where_its_index_goes() {
        let mut table = table(4, 1, 1, 1);
        table.aliases.insert("movies".into(), vec!["movies_v2".into()]);
        table.aliases.insert("all".into(), vec!["movies_v2".into(), "books".into()]);
        let routing = Arc::new(Routing::new(table));
        let called = |method: &str, target: &str| {
            let head = RequestHead { method: method.into(), target: target.into(), headers: Vec::new() };
            let (_, Destination::Exchange(mut exchange)) = route(&Latest::new(routing.clone()), head) else {
                panic!("{target}")
            };
            match exchange.body(&[], true) {
                Step::Call(calls) => {
                    calls.into_iter().map(|(_, call)| (call.cluster, call.target)).collect::<Vec<_>>()
                }
                step => panic!("{target}: {step:?}"),
            }
        };
        let node = |target: &str| vec![("miroir-node-n0".to_owned(), target.to_owned())];
        let control_plane = |target: &str| vec![("miroir-control-plane".to_owned(), target.to_owned())];
        assert_eq!(called("GET", "/indexes/movies/search"), node("/indexes/movies_v2/search"));
        assert_eq!(
            called("GET", "/indexes/movies/documents/7?fields=a"),
            node("/indexes/movies_v2/documents/7?fields=a")
        );
        assert_eq!(called("GET", "/indexes/movies/documents"), node("/indexes/movies_v2/documents/fetch"));
        assert_eq!(called("GET", "/indexes/all/search"), node("/multi-search"));
        // What the control plane answers it resolves itself.
        assert_eq!(called("GET", "/indexes/movies/settings"), control_plane("/indexes/movies/settings"));
        for (method, target) in [
            ("GET", "/indexes/all/documents/7"),
            ("POST", "/indexes/all/documents"),
            ("POST", "/indexes/all/documents/edit"),
            ("POST", "/indexes/all/facet-search"),
            ("GET", "/indexes/all/similar"),
        ] {
            assert_eq!(called(method, target), control_plane(target));
        }
    }
}
