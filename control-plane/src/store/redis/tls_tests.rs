//! A Redis that asks for a password and speaks TLS, with an authority of its own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::server::Server;
use super::*;
use crate::config::{Backend, TaskStoreConfig};

/// The certificates of an authority, and of a server that it vouches for.
struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    fn make() -> Certificates {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write("ca.pem", authority.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(authority, key);
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        write("redis.pem", server.signed_by(&key, &issuer).unwrap().pem());
        write("redis.key", key.serialize_pem());
        Certificates { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn redis_with_tls_and_a_password_is_used() {
    let certificates = Certificates::make();
    let [ca, certificate, key] = ["ca.pem", "redis.pem", "redis.key"].map(|name| certificates.path(name));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let _server = Server::start_with(&[
        "--requirepass",
        "secret",
        "--tls-port",
        &port.to_string(),
        "--tls-ca-cert-file",
        text(&ca),
        "--tls-cert-file",
        text(&certificate),
        "--tls-key-file",
        text(&key),
        "--tls-auth-clients",
        "no",
    ])
    .await;

    let config = TaskStoreConfig {
        backend: Backend::Redis,
        url: Some(format!("rediss://127.0.0.1:{port}/3")),
        password: "secret".into(),
        ca_file: Some(ca),
        ..TaskStoreConfig::default()
    };
    let ask = async |config: &TaskStoreConfig| {
        let link = Link::open(config).unwrap();
        link.ask_within::<()>(std::time::Duration::ZERO, redis::pipe().cmd("PING").ignore()).await
    };
    ask(&config).await.unwrap();
    let wrong = TaskStoreConfig { password: "wrong".into(), ..config.clone() };
    let error = ask(&wrong).await.unwrap_err().to_string();
    assert!(error.contains("assword"), "{error}");
    let unknown = TaskStoreConfig { ca_file: None, ..config.clone() };
    let error = ask(&unknown).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let plain = TaskStoreConfig { url: Some(format!("redis://127.0.0.1:{port}/3")), ca_file: None, ..config };
    assert!(ask(&plain).await.is_err());
}
