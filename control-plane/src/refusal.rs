//! What an operator asks for and can't have.

use miroir_core::error::{ApiError, ErrorType};

/// An error that says why, and what to do instead.
pub fn refused(status: u16, code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(status, code, ErrorType::InvalidRequest, message)
}
