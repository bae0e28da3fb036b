//! Starts clusters of real parts for the tests, the demo and `make up`: Meilisearch nodes, the control plane and
//! Envoy with the filter, each a process of its own on free ports.
//!
//! All that a [`Cluster`] started ends with it, also when the program that started it panics or is killed.

pub mod binaries;
mod catalogue;
mod client;
mod cluster;
mod control_plane;
mod envoy;
mod node;
mod ports;
mod process;
mod proxy;
mod redis;
pub mod running;
mod wait;

pub use catalogue::{Package, debian_packages};
pub use client::{Answer, Client, Index};
pub use cluster::{Cluster, Options};
pub use control_plane::ControlPlane;
pub use envoy::Bootstrap;
pub use node::{Node, SingleNode};
pub use ports::free_port;
pub use process::{Lifetime, Process, Program};
pub use proxy::Way;
pub use redis::{Persistence, Redis};
pub use reqwest::Method;
pub use wait::{wait_for, wait_until};
