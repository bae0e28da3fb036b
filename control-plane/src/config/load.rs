//! Reads the configuration from its file and the environment.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Config, ConfigError, Secret};

const PREFIX: &str = "MIROIR_";

/// The keys that environment variables may set. A variable that begins otherwise is none of ours: Kubernetes, for
/// one, sets `MIROIR_PORT` and more for a service named `miroir`.
const KEYS: [&str; 21] = [
    "shards",
    "replication_factor",
    "replica_groups",
    "nodes",
    "master_key_file",
    "admin_key_file",
    "task_store",
    "listen",
    "filter",
    "standalone",
    "write_quorum",
    "unavailable_shard_policy",
    "body_limit",
    "write_buffer_limit",
    "timeouts",
    "health",
    "rebalance",
    "anti_entropy",
    "idempotency",
    "sessions",
    "tasks",
];

/// Reads and checks the configuration: the YAML file at `path`, then the environment over it.
///
/// `MIROIR_TASK_STORE__PATH` overrides `task_store.path`, `MIROIR_NODES__0__URL` the first node's `url`; values are
/// YAML themselves, so that `MIROIR_NODES='[{id: a, url: http://a:7700}]'` works.
///
/// # Errors
/// [`ConfigError`] with the key, the value and what is allowed.
pub fn load(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("{} can't be read: {error}", path.display())))?;
    let mut yaml = parse(&text).map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
    refuse_secrets(&yaml)?;

    let mut variables: Vec<_> =
        environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // A whole list comes before the overrides of its entries.
    variables.sort();
    let variable = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let (master_key, admin_key) = (variable("MIROIR_MASTER_KEY"), variable("MIROIR_ADMIN_KEY"));
    for (name, value) in &variables {
        let key = name[PREFIX.len()..].to_ascii_lowercase();
        let keys: Vec<&str> = key.split("__").collect();
        if KEYS.contains(&keys[0]) {
            set(&mut yaml, &keys, scalar_or_yaml(value))
                .map_err(|reason| ConfigError(format!("environment variable {name}: {reason}")))?;
        }
    }

    let mut config: Config = serde_path_to_error::deserialize(yaml).map_err(|error| {
        let key = error.path().to_string();
        let at = if key == "." { String::new() } else { format!("`{key}`: ") };
        ConfigError(format!("{at}{}", error.inner()))
    })?;
    config.master_key =
        secret("master_key", "master_key_file", master_key, config.master_key_file.as_deref())?;
    config.admin_key = secret("admin_key", "admin_key_file", admin_key, config.admin_key_file.as_deref())?;
    let password = (variable("MIROIR_REDIS_PASSWORD"), config.task_store.password_file.as_deref());
    if password.0.is_some() || password.1.is_some() {
        config.task_store.password =
            secret("redis_password", "task_store.password_file", password.0, password.1)?;
    }
    super::check::check(&config)?;
    Ok(config)
}

fn parse(text: &str) -> Result<Value, String> {
    // A file that only holds comments is an empty mapping: all may come from the environment.
    let value: Option<Value> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    match value.unwrap_or_else(|| Value::Object(Map::new())) {
        mapping @ Value::Object(_) => Ok(mapping),
        _ => Err("it must hold a mapping of keys to values".into()),
    }
}

fn refuse_secrets(yaml: &Value) -> Result<(), ConfigError> {
    for key in ["master_key", "admin_key"] {
        if yaml.get(key).is_some() {
            return Err(ConfigError(format!(
                "`{key}` must not be in the file: set the environment variable {PREFIX}{} or name a file that holds \
                 it in `{key}_file`",
                key.to_ascii_uppercase()
            )));
        }
    }
    Ok(())
}

fn scalar_or_yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Sets the value at the path `keys`, making mappings and list entries on the way.
fn set(target: &mut Value, keys: &[&str], value: Value) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else {
        *target = value;
        return Ok(());
    };
    if let Value::Array(entries) = target {
        let index: usize = key.parse().map_err(|_| format!("`{key}` is not the number of a list entry"))?;
        if index > entries.len() {
            return Err(format!(
                "entry {index} of a list of {}: the next one is {}",
                entries.len(),
                entries.len()
            ));
        }
        if index == entries.len() {
            entries.push(Value::Null);
        }
        return set(&mut entries[index], rest, value);
    }
    if target.is_null() && *key == "0" {
        *target = Value::Array(Vec::new());
        return set(target, keys, value);
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    set(&mut target[*key], rest, value)
}

fn secret(
    key: &str,
    file_key: &str,
    variable: Option<&str>,
    file: Option<&Path>,
) -> Result<Secret, ConfigError> {
    let name = format!("{PREFIX}{}", key.to_ascii_uppercase());
    let text = match (variable, file) {
        (Some(text), _) => text.to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
            ConfigError(format!("`{file_key}`: {} can't be read: {error}", file.display()))
        })?,
        (None, None) => {
            return Err(ConfigError(format!(
                "there is no `{key}`: set the environment variable {name} or name a file that holds it in `{file_key}`"
            )));
        }
    };
    let key_text = text.trim();
    let sendable = !key_text.is_empty() && key_text.bytes().all(|byte| byte.is_ascii_graphic());
    if !sendable {
        return Err(ConfigError(format!(
            "`{key}` from {name} or `{file_key}` must be one or more printable ASCII characters without spaces"
        )));
    }
    Ok(Secret::from(key_text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
nodes: [{id: a, url: 'http://a:7700'}, {id: b, url: 'http://b:7700'}]
filter: {module: /filter.wasm, source: local}";

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let keys = [("MIROIR_MASTER_KEY", "master"), ("MIROIR_ADMIN_KEY", "admin")];
        keys.iter().chain(pairs).map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn load_text(yaml: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        load_with(yaml, environment(pairs))
    }

    fn load_with(yaml: &str, environment: Vec<(String, String)>) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("miroir.yaml");
        std::fs::write(&path, yaml).unwrap();
        load(&path, environment)
    }

    fn refusal(yaml: &str, pairs: &[(&str, &str)]) -> String {
        load_text(yaml, pairs).unwrap_err().to_string()
    }

    #[test]
    fn a_minimal_file_gets_the_defaults() {
        let config = load_text(YAML, &[]).unwrap();
        assert_eq!((config.shards, config.replication_factor), (64, 1));
        assert_eq!(config.listen.admin.port(), 8080);
        assert_eq!(config.nodes[0].weight, 1.0);
        assert_eq!(config.master_key.expose(), "master");
    }

    #[test]
    fn the_environment_overrides_every_kind_of_key() {
        let config = load_text(
            YAML,
            &[
                ("MIROIR_SHARDS", "128"),
                ("MIROIR_TASK_STORE__PATH", "/data/store"),
                ("MIROIR_NODES__1__URL", "http://elsewhere:1"),
                ("MIROIR_NODES__2", "{id: c, url: 'http://c:7700'}"),
                ("MIROIR_STANDALONE__LISTEN", "127.0.0.1:7700"),
                ("MIROIR_UNAVAILABLE_SHARD_POLICY", "error"),
            ],
        )
        .unwrap();
        assert_eq!(config.shards, 128);
        assert_eq!(config.task_store.path.to_str(), Some("/data/store"));
        assert_eq!(config.nodes[1].url, "http://elsewhere:1");
        assert_eq!(config.nodes[2].id, "c");
        assert_eq!(config.standalone.unwrap().listen.port(), 7700);
        assert_eq!(config.unavailable_shard_policy, miroir_core::table::UnavailableShard::Error);
    }

    #[test]
    fn a_redis_is_named_by_a_url_that_can_be_meant() {
        let load = |pairs: &[(&str, &str)]| {
            load_text(YAML, &[&[("MIROIR_TASK_STORE__BACKEND", "redis")], pairs].concat())
        };
        let url = |url| ("MIROIR_TASK_STORE__URL", url);
        let ca = ("MIROIR_TASK_STORE__CA_FILE", "/ca.pem");
        load(&[url("redis://redis:6379/1")]).unwrap();
        load(&[url("rediss://redis"), ca]).unwrap();
        for (pairs, key) in [
            (&[][..], "`task_store.url`"),
            (&[url("http://redis")], "`task_store.url`"),
            (&[url("redis://:secret@redis")], "MIROIR_REDIS_PASSWORD"),
            (&[url("redis://redis"), ca], "`task_store.ca_file`"),
        ] {
            let error = load(pairs).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn nothing_need_be_in_the_file() {
        let variables = [
            ("MIROIR_NODES", "[{id: a, url: 'http://a:7700'}]"),
            ("MIROIR_NODES__0__GROUP", "left"),
            ("MIROIR_FILTER__MODULE", "/filter.wasm"),
            ("MIROIR_FILTER__SOURCE", "local"),
        ];
        let config = load_text("# all from the environment\n", &variables).unwrap();
        assert_eq!(config.nodes[0].group, "left");
    }

    #[test]
    fn what_kubernetes_puts_into_the_environment_is_ignored() {
        load_text(YAML, &[("MIROIR_PORT", "tcp://10.0.0.1:80"), ("MIROIR_SERVICE_HOST", "10.0.0.1")])
            .unwrap();
    }

    #[test]
    fn every_key_can_be_set_by_the_environment() {
        let error = serde_json::from_str::<Config>(r#"{"?": 1}"#).unwrap_err().to_string();
        let keys: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(keys, KEYS);
    }

    #[test]
    fn a_secret_in_the_file_is_told_where_it_goes() {
        let error = refusal(&format!("{YAML}\nmaster_key: secret"), &[]);
        assert!(error.contains("MIROIR_MASTER_KEY") && error.contains("`master_key_file`"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_secret_can_come_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        std::fs::write(&file, "from-the-file\n").unwrap();
        let yaml = format!("{YAML}\nmaster_key_file: {}", file.display());
        let config = load_with(&yaml, vec![("MIROIR_ADMIN_KEY".into(), "admin".into())]).unwrap();
        assert_eq!(config.master_key.expose(), "from-the-file");
    }

    #[test]
    fn a_missing_secret_is_told_where_it_goes() {
        let error = load_with(YAML, vec![("MIROIR_MASTER_KEY".into(), "m".into())]).unwrap_err().to_string();
        assert!(error.contains("MIROIR_ADMIN_KEY"), "{error}");
    }

    #[test]
    fn wrong_values_are_refused_with_key_value_and_what_is_allowed() {
        for (name, value, parts) in [
            ("MIROIR_SHARDS", "0", &["`shards`", "0", "1"][..]),
            ("MIROIR_SHARDS", "many", &["`shards`", "many"]),
            ("MIROIR_REPLICATION_FACTOR", "3", &["`replication_factor`", "3", "2"]),
            ("MIROIR_REPLICA_GROUPS", "2", &["`replica_groups`", "2", "1"]),
            ("MIROIR_WRITE_QUORUM", "2", &["`write_quorum`", "2", "1"]),
            ("MIROIR_NODES__1__ID", "a", &["`nodes[1].id`", "a"]),
            ("MIROIR_NODES__1__ID", "a b", &["`nodes[1].id`", "a b", "letters"]),
            ("MIROIR_NODES__1__URL", "http://a:7700/", &["`nodes[1].url`", "http://a:7700/"]),
            ("MIROIR_NODES__1__URL", "ftp://b", &["`nodes[1].url`", "ftp://b", "http"]),
            ("MIROIR_NODES__1__URL", "http://b/path", &["`nodes[1].url`", "http://b/path"]),
            ("MIROIR_NODES__1__WEIGHT", "-1", &["`nodes[1].weight`", "-1"]),
            ("MIROIR_NODES__1__COLOUR", "red", &["nodes[1]", "colour", "weight"]),
            ("MIROIR_NODES__7__ID", "c", &["MIROIR_NODES__7__ID", "entry 7"]),
            ("MIROIR_NODES", "[]", &["`nodes`"]),
            ("MIROIR_TASK_STORE__BACKEND", "postgres", &["`task_store.backend`", "postgres", "sqlite"]),
            ("MIROIR_STANDALONE__LISTEN", "0.0.0.0:0", &["`standalone.listen`", "0.0.0.0:0"]),
            ("MIROIR_HEALTH__INTERVAL_MS", "0", &["`health.interval_ms`", "0"]),
            ("MIROIR_TASKS__KEEP_AT_MOST", "9999", &["`tasks.keep_at_most`", "9999", "10000 or more"]),
            ("MIROIR_UNAVAILABLE_SHARD_POLICY", "maybe", &["`unavailable_shard_policy`", "maybe", "partial"]),
        ] {
            let error = refusal(YAML, &[(name, value)]);
            for part in parts {
                assert!(error.contains(part), "{name}={value}: {error:?} does not contain {part:?}");
            }
        }
        let error = refusal(&format!("{YAML}\nshard: 3"), &[]);
        assert!(error.contains("`shard`") && error.contains("`shards`"), "{error}");
    }
}
