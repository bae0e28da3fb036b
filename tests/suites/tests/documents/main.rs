//! Documents, indexes, settings and tasks as a client of Meilisearch knows them: what Miroir answers is what one
//! node alone would.

mod browse;
mod changes;
mod csv;
mod hidden;
mod ids;
mod indexes;
mod load;
mod settings;
mod tasks;
mod values;
mod writes;

use miroir_harness::Options;
use miroir_suites::pair::SharedPair;

static PAIR: SharedPair = SharedPair::new(Options::default);
