//! `X-Miroir-Session`: what was written under a name is seen by what is read under it.

use crate::error::{ApiError, ErrorType};
use crate::exchange::RequestHead;

/// The header that names a session.
pub const SESSION_HEADER: &str = "x-miroir-session";

/// In bytes.
const LONGEST_ID: usize = 128;

/// The session of a request, if it is in one.
///
/// # Errors
/// `miroir_invalid_session` if it can't be the name of a session.
pub fn session(head: &RequestHead) -> Result<Option<&str>, ApiError> {
    let is_id =
        |id: &str| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    match head.header(SESSION_HEADER) {
        Some(id) if !is_id(id) => {
            let message = format!("`X-Miroir-Session` must be 1 to {LONGEST_ID} visible ASCII characters.");
            Err(ApiError::new(400, "miroir_invalid_session", ErrorType::InvalidRequest, message))
        }
        id => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_session_is_a_visible_name() {
        let code = |id: &str| {
            let headers = vec![(SESSION_HEADER.to_owned(), id.to_owned())];
            let head = RequestHead { headers, ..RequestHead::default() };
            session(&head).map(|id| id.map(str::to_owned)).map_err(|error| error.code.into_owned())
        };
        assert_eq!(code("cart-7"), Ok(Some("cart-7".into())));
        assert_eq!(code(&"s".repeat(128)), Ok(Some("s".repeat(128))));
        for id in ["", " ", "a b", "é", "a\t", &"s".repeat(129)] {
            assert_eq!(code(id), Err("miroir_invalid_session".into()), "{id:?}");
        }
        assert_eq!(session(&RequestHead::default()), Ok(None));
    }
}
