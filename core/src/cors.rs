//! Cross-origin requests, as Meilisearch answers them: any origin, any method, any header.

use crate::exchange::{Reply, RequestHead};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT";
const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The headers that every answer to this request gets.
pub fn headers(head: &RequestHead) -> Vec<(String, String)> {
    let mut headers = vec![("vary".to_string(), VARY.to_string())];
    if head.header("origin").is_some() {
        headers.push(("access-control-allow-origin".into(), "*".into()));
    }
    headers
}

/// The answer to a preflight request; `None` if it is none.
pub fn preflight(head: &RequestHead) -> Option<Reply> {
    if head.method != "OPTIONS" {
        return None;
    }
    head.header("origin")?;
    head.header("access-control-request-method")?;
    let reply = Reply { status: 200, headers: Vec::new(), body: Vec::new() }
        .with_header("access-control-allow-methods", METHODS)
        .with_header("access-control-max-age", "86400");
    Some(match head.header("access-control-request-headers") {
        Some(headers) => reply.with_header("access-control-allow-headers", headers),
        None => reply,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn head(method: &str, headers: &[(&str, &str)]) -> RequestHead {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        RequestHead { method: method.into(), target: "/indexes/a/search".into(), headers }
    }

    #[test]
    fn a_browser_may_ask_from_anywhere() {
        let asks = [
            ("origin", "http://x"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        let reply = preflight(&head("OPTIONS", &asks)).unwrap();
        assert!(reply.headers.contains(&("access-control-allow-headers".into(), "authorization".into())));
        assert!(headers(&head("GET", &asks)).contains(&("access-control-allow-origin".into(), "*".into())));
    }

    #[test]
    fn other_options_requests_are_no_preflight() {
        assert_eq!(preflight(&head("OPTIONS", &[])), None);
        assert_eq!(headers(&head("GET", &[])).len(), 1);
    }
}
