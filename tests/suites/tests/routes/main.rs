//! Route by route: the same requests in the same order to one node and through Miroir, with one copy of each shard and with
//! two. The answers are the same once what differs from run to run is set aside (see [`normal`]).
//!
//! Each test is one sequence of requests; `docs/compatibility.md` names the test of each route, and [`table`] sees to it
//! that it does. A test that needs what the embedded node lacks says so and runs only with `MEILISEARCH_BIN`.

mod documents;
mod facets;
mod indexes;
mod instance;
mod keys;
mod multi_search;
mod normal;
mod refused;
mod search;
mod settings;
mod similar;
mod step;
mod table;
mod tasks;
mod trio;
