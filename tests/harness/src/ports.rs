//! Free ports.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below the ports that the kernel gives to outgoing connections: one of those could take the port of a node
/// while the node is down.
const CANDIDATES: std::ops::Range<u16> = 12_000..32_000;

/// A port on the loopback interface that nobody listens on, and that this program hands out once.
pub fn free_port() -> u16 {
    static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let random = RandomState::new().hash_one(handed_out.len());
        let port = CANDIDATES.start + (random % CANDIDATES.len() as u64) as u16;
        if is_free(port) && handed_out.insert(port) {
            return port;
        }
    }
}

/// Whether nobody listens on this port of the loopback interface.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
