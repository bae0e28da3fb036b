//! Tenant tokens: signed with the value of a key, they narrow its searches down.

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous, decode};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::access::SearchRules;
use crate::error::{ResponseError, Result};
use crate::keys;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    search_rules: SearchRules,
    exp: Option<i64>,
    api_key_uid: Uuid,
}

/// The uid of the key that signed a token, and what the token allows. Contains nothing when it is no token.
pub fn read(token: &str, master_key: &str) -> Result<Option<(Uuid, SearchRules)>> {
    let claims = match verified(token, master_key) {
        Ok(claims) => claims,
        Err(error) if *error.kind() == ErrorKind::InvalidToken => return Ok(None),
        Err(error) => return Err(refused(format!("Could not decode tenant token, {error}."))),
    };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    match claims.exp {
        Some(exp) if now > exp => {
            Err(refused(format!("Tenant token expired. Was valid up to `{exp}` and we're now `{now}`.")))
        }
        _ => Ok(Some((claims.api_key_uid, claims.search_rules))),
    }
}

fn verified(token: &str, master_key: &str) -> Result<Claims, Error> {
    let claimed = dangerous::insecure_decode::<Claims>(token)?.claims;
    let key = keys::value(claimed.api_key_uid, master_key);
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    Ok(decode::<Claims>(token, &DecodingKey::from_secret(key.as_bytes()), &validation)?.claims)
}

fn refused(message: String) -> ResponseError {
    ResponseError::new("invalid_api_key", message)
}
