//! Aliases: names that stand for an index, or to be searched for several, wherever an index uid does.

use crate::exchange::RequestHead;
use crate::routing::Routing;
use crate::table::RoutingTable;

/// An index as a client named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexName {
    /// Its uid.
    pub uid: String,
    /// The alias that stands for it, if the client named that.
    pub alias: Option<String>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// For an index, be there one of that uid or not.
    Index(IndexName),
    /// For several indexes.
    Indexes(Vec<String>),
}

/// What a name stands for that is an index uid by its form.
pub fn resolve(routing: &Routing, name: String) -> Named {
    match routing.table.aliases.get(&name).map(Vec::as_slice) {
        None => Named::Index(IndexName { uid: name, alias: None }),
        Some([uid]) => Named::Index(IndexName { uid: uid.clone(), alias: Some(name) }),
        Some(uids) => Named::Indexes(uids.to_vec()),
    }
}

/// The uid of the one index that a name stands for, be there one or not; `None` if it stands for several.
pub fn index<'n>(table: &'n RoutingTable, name: &'n str) -> Option<&'n str> {
    match table.aliases.get(name).map(Vec::as_slice) {
        None => Some(name),
        Some([uid]) => Some(uid),
        Some(_) => None,
    }
}

/// The head of the same request about an index of this uid. The path must be one under `/indexes/{uid}`.
pub fn about(mut head: RequestHead, uid: &str) -> RequestHead {
    let named = head.target.strip_prefix("/indexes/").unwrap_or_default();
    let rest = named.find(['/', '?']).and_then(|end| named.get(end..)).unwrap_or_default();
    head.target = format!("/indexes/{uid}{rest}");
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::table;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_name_stands_for_an_index_or_for_several() {
        let mut table = table(4, 1, 1, 1);
        table.aliases.insert("movies".into(), vec!["movies_v2".into()]);
        table.aliases.insert("all".into(), vec!["movies_v2".into(), "books".into()]);
        let routing = Routing::new(table);
        let index = |uid: &str, alias: Option<&str>| {
            Named::Index(IndexName { uid: uid.into(), alias: alias.map(String::from) })
        };
        assert_eq!(resolve(&routing, "books".into()), index("books", None));
        assert_eq!(resolve(&routing, "movies".into()), index("movies_v2", Some("movies")));
        let several = vec!["movies_v2".to_owned(), "books".to_owned()];
        assert_eq!(resolve(&routing, "all".into()), Named::Indexes(several));
    }

    #[test]
    fn only_the_index_of_a_path_changes() {
        for (target, expected) in [
            ("/indexes/a/documents/a?fields=a", "/indexes/b/documents/a?fields=a"),
            ("/indexes/a/search", "/indexes/b/search"),
            ("/indexes/a?x=/indexes/a", "/indexes/b?x=/indexes/a"),
            ("/indexes/a", "/indexes/b"),
        ] {
            let head = RequestHead { target: target.into(), ..RequestHead::default() };
            assert_eq!(about(head, "b").target, expected);
        }
    }
}
