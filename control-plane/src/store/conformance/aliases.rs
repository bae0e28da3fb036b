//! What of the store is about aliases.

use std::collections::BTreeMap;
use std::future::Future;

use time::{Duration, OffsetDateTime};

use crate::store::{AliasRecord, Store};

pub async fn run<S: Store, F: Future<Output = S>>(open: &impl Fn(&'static str) -> F) {
    let store = open("aliases").await;
    assert_eq!(store.aliases().await.unwrap(), BTreeMap::new());
    let now = OffsetDateTime::UNIX_EPOCH;
    let movies = AliasRecord::new("movies", vec!["movies_v1".into()], now);
    let both = AliasRecord::new("all", vec!["movies_v1".into(), "books".into()], now);
    let gone = AliasRecord::new("gone", vec!["books".into()], now);
    for alias in [&movies, &both, &gone] {
        store.save_alias(alias).await.unwrap();
    }
    let turned = movies.turned_to(vec!["movies_v2".into()], now + Duration::HOUR);
    store.save_alias(&turned).await.unwrap();
    store.delete_alias("gone").await.unwrap();
    store.delete_alias("nobody").await.unwrap();
    drop(store);

    let aliases = open("aliases").await.aliases().await.unwrap();
    assert_eq!(aliases, BTreeMap::from([("all".into(), both), ("movies".into(), turned)]));
}
