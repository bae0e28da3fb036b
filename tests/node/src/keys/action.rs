//! What keys can allow.

use std::convert::Infallible;

use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, ValuePointerRef, take_cf_content};
use serde::{Deserialize, Serialize};

/// Meilisearch's actions, in its order.
const ACTIONS: [&str; 58] = [
    "*",
    "search",
    "documents.*",
    "documents.add",
    "documents.get",
    "documents.delete",
    "indexes.*",
    "indexes.create",
    "indexes.get",
    "indexes.update",
    "indexes.delete",
    "indexes.swap",
    "tasks.*",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.*",
    "settings.get",
    "settings.update",
    "stats.*",
    "stats.get",
    "metrics.*",
    "metrics.get",
    "dumps.*",
    "dumps.create",
    "snapshots.*",
    "snapshots.create",
    "version",
    "keys.create",
    "keys.get",
    "keys.update",
    "keys.delete",
    "experimental.get",
    "experimental.update",
    "export",
    "network.get",
    "network.update",
    "chatCompletions",
    "chats.*",
    "chats.get",
    "chats.delete",
    "chatsSettings.*",
    "chatsSettings.get",
    "chatsSettings.update",
    "*.get",
    "webhooks.get",
    "webhooks.update",
    "webhooks.delete",
    "webhooks.create",
    "webhooks.*",
    "indexes.compact",
    "fields.post",
    "tasks.compact",
    "dynamicSearchRules.get",
    "dynamicSearchRules.create",
    "dynamicSearchRules.update",
    "dynamicSearchRules.delete",
    "dynamicSearchRules.*",
];

/// Those that are about the whole instance, and so can't be limited to some indexes.
const GLOBAL: [&str; 12] = [
    "metrics",
    "dumps",
    "snapshots",
    "version",
    "keys",
    "experimental",
    "export",
    "network",
    "chats",
    "chatsSettings",
    "webhooks",
    "dynamicSearchRules",
];

/// Those whose routes name no index, and look themselves at which indexes the key is limited to.
const CHECKED_BY_ROUTE: [&str; 12] = [
    "documents.get",
    "search",
    "indexes.create",
    "indexes.get",
    "indexes.swap",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.get",
    "stats.*",
    "stats.get",
    "chatCompletions",
];

/// Something that a key allows: `documents.add`, `indexes.*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action(String);

impl Action {
    /// The action of this name, which has to be one of Meilisearch's.
    pub fn new(name: &str) -> Self {
        Self(name.to_string())
    }

    /// Whether it allows this.
    pub fn covers(&self, wanted: &str) -> bool {
        let (group, verb) = wanted.split_once('.').unwrap_or((wanted, ""));
        match self.0.as_str() {
            "*" => true,
            "*.get" => match verb {
                "get" => group != "keys",
                _ => matches!(wanted, "search" | "export" | "version" | "fields.post"),
            },
            _ if verb == "*" => false,
            allowed => allowed == wanted || allowed.strip_suffix(".*") == Some(group),
        }
    }

    /// Whether it is about the whole instance.
    pub fn is_global(&self) -> bool {
        let group = self.0.split('.').next().unwrap_or_default();
        self.0 == "tasks.compact" || GLOBAL.contains(&group)
    }
}

/// Whether the route of this action looks itself at which indexes a key is limited to.
pub fn is_checked_by_route(action: &str) -> bool {
    CHECKED_BY_ROUTE.contains(&action)
}

impl<E: DeserializeError> Deserr<E> for Action {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        let name = String::deserialize_from_value(value, location)?;
        if ACTIONS.contains(&name.as_str()) {
            return Ok(Self(name));
        }
        let unknown = ErrorKind::UnknownValue { value: &name, accepted: &ACTIONS };
        Err(take_cf_content(E::error::<Infallible>(None, unknown, location)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_covers_what_its_star_stands_for() {
        let covers = |action, wanted| Action::new(action).covers(wanted);
        assert!(
            covers("*", "keys.get") && covers("documents.*", "documents.add") && covers("*.get", "search")
        );
        assert!(!covers("*.get", "keys.get") && !covers("*.get", "documents.add"));
        // Meilisearch's own: only `*` allows what asks for all of `documents.*`.
        assert!(!covers("documents.*", "documents.*") && covers("*", "documents.*"));
    }

    #[test]
    fn actions_about_the_instance_are_global() {
        let is_global = |action| Action::new(action).is_global();
        assert!(is_global("keys.get") && is_global("version") && is_global("tasks.compact"));
        assert!(!is_global("tasks.*") && !is_global("*") && !is_global("*.get") && !is_global("search"));
    }
}
