//! Failures on demand, for tests of what stands before the node. Only a node started with `--faults` can be asked for
//! them.

use std::sync::Mutex;

use serde::Deserialize;

use crate::error::ResponseError;
use crate::tasks::{Operation, Task};

/// What is to go wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Orders {
    /// The code of the error that every change of documents is refused with, as `internal` or
    /// `no_space_left_on_device`.
    refuse: Option<String>,
    /// So many of the next tasks about documents fail, as on a full disk.
    fail_tasks: u64,
}

/// What is to go wrong now.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Orders>);

impl Faults {
    /// Takes new orders; what is left of those before is forgotten.
    pub fn order(&self, orders: Orders) {
        *self.orders() = orders;
    }

    /// Refuses the operation if it was ordered to.
    pub fn check(&self, operation: &Operation) -> Result<(), ResponseError> {
        match &self.orders().refuse {
            Some(code) if operation.is_about_documents() => {
                Err(ResponseError::new(code.clone(), "Refused as ordered by a test."))
            }
            _ => Ok(()),
        }
    }

    /// Takes those of the first tasks that were ordered to fail, failed.
    pub fn take_failed(&self, tasks: &mut Vec<Task>) -> Vec<Task> {
        let mut orders = self.orders();
        let fails = tasks.iter().take_while(|task| task.operation.is_about_documents()).count();
        let fails = orders.fail_tasks.min(fails as u64);
        orders.fail_tasks -= fails;
        let mut failed: Vec<Task> = tasks.drain(..fails as usize).collect();
        for task in &mut failed {
            let message = "No space left on device (os error 28), as ordered by a test.";
            task.fail(ResponseError::new("no_space_left_on_device", message));
        }
        failed
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
