//! `Idempotency-Key`: a write that its client repeats, not knowing whether it was heard, is done once.

use twox_hash::xxhash3_128::Hasher;

use crate::error::{ApiError, ErrorType};
use crate::exchange::RequestHead;

/// The header by which a client names a write.
pub const KEY_HEADER: &str = "idempotency-key";
/// The header of an answer that was given before.
pub const REPLAYED_HEADER: &str = "idempotency-replayed";

/// In bytes.
const LONGEST_KEY: usize = 255;

/// The key of a request, if it has one.
///
/// # Errors
/// `miroir_invalid_idempotency_key` if it is empty or too long.
pub fn key(head: &RequestHead) -> Result<Option<&str>, ApiError> {
    match head.header(KEY_HEADER) {
        Some(key) if key.is_empty() || key.len() > LONGEST_KEY => Err(invalid_key(key.len())),
        key => Ok(key),
    }
}

/// What tells one request from another: XXH3 (128 bits) of its method, its target, its content type and its body.
pub struct Fingerprint(Hasher);

impl Fingerprint {
    /// Of a request of whose body nothing is known yet.
    pub fn new(method: &str, target: &str, content_type: &str) -> Fingerprint {
        let mut hasher = Hasher::new();
        for part in [method, target, content_type] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        Fingerprint(hasher)
    }

    /// Takes the next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.write(piece);
    }

    /// The fingerprint of what was taken, in hexadecimal digits.
    pub fn finish(&self) -> String {
        format!("{:032x}", self.0.finish_128())
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fingerprint({})", self.finish())
    }
}

fn invalid_key(length: usize) -> ApiError {
    let message = format!("`Idempotency-Key` must have 1 to {LONGEST_KEY} bytes; this one has {length}.");
    ApiError::new(400, "miroir_invalid_idempotency_key", ErrorType::InvalidRequest, message)
}

/// The key was used for another request.
pub fn key_reused() -> ApiError {
    let message = "This `Idempotency-Key` came with another request before, which was accepted. Use a new key for \
                   each request, and the same one only to repeat it unchanged.";
    ApiError::new(409, "miroir_idempotency_key_reused", ErrorType::InvalidRequest, message)
}

/// A request with the key is under way.
pub fn key_in_use() -> ApiError {
    let message = "A request with this `Idempotency-Key` is under way. Repeat this one: it gets the answer to that one \
                   once there is one.";
    ApiError::new(409, "miroir_idempotency_key_in_use", ErrorType::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_key_has_a_length() {
        let code = |key: &str| {
            let headers = vec![(KEY_HEADER.to_owned(), key.to_owned())];
            let head = RequestHead { headers, ..RequestHead::default() };
            super::key(&head).map(|key| key.map(str::to_owned)).map_err(|error| error.code.into_owned())
        };
        let invalid = || Err("miroir_invalid_idempotency_key".to_owned());
        assert_eq!(code("k"), Ok(Some("k".into())));
        assert_eq!((code(""), code(&"k".repeat(256))), (invalid(), invalid()));
        assert!(code(&"k".repeat(255)).is_ok());
        assert_eq!(super::key(&RequestHead::default()), Ok(None));
    }

    proptest! {
        #[test]
        fn a_fingerprint_depends_on_what_is_sent_and_not_on_its_pieces(
            body: Vec<u8>, other: Vec<u8>, piece in 1usize..20,
        ) {
            let of = |head: [&str; 3], body: &[u8]| {
                let mut fingerprint = Fingerprint::new(head[0], head[1], head[2]);
                body.chunks(piece).for_each(|piece| fingerprint.update(piece));
                fingerprint.finish()
            };
            let head = ["POST", "/a", "text/csv"];
            let mut whole = Fingerprint::new("POST", "/a", "text/csv");
            whole.update(&body);
            prop_assert_eq!(of(head, &body), whole.finish());
            prop_assert_eq!(of(head, &body) == of(head, &other), body == other);
            for head in [["PUT", "/a", "text/csv"], ["POST", "/at", "ext/csv"], ["POST", "/a", ""]] {
                prop_assert_ne!(of(head, &body), whole.finish());
            }
        }
    }
}
