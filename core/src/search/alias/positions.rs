//! Which of the queries of a `/multi-search` a node's refusal is about, where it was asked other queries than the client
//! sent.

use crate::error::ApiError;
use crate::exchange::Reply;

/// What a node calls the list.
const LIST: &str = "queries[";

/// A node's refusal with other positions: of what the node was asked, `position` gives that of what the client asked.
pub fn moved(refusal: Reply, position: impl Fn(usize) -> usize) -> Reply {
    reworded(refusal, |message| {
        let said = rewritten(message, |_, found, _| Some((format!("{LIST}{}]", position(found)), 0, 0)));
        match said.contains("The results of queries #") {
            true => renumbered(&said, &position),
            false => said,
        }
    })
}

/// The message with other numbers after `#`.
fn renumbered(message: &str, position: impl Fn(usize) -> usize) -> String {
    let mut parts = message.split('#');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, after) = part.split_at(part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len()));
        out.push('#');
        match number.parse() {
            Ok(number) => out.push_str(&position(number).to_string()),
            Err(_) => out.push_str(number),
        }
        out.push_str(after);
    }
    out
}

/// A node's refusal without positions: the client has sent one query alone.
pub fn left_out(refusal: Reply) -> Reply {
    // What is before and after a position, and what stays of it all.
    const FORMS: [(&str, &str, &str); 5] =
        [("Inside `.", "`: ", ""), (" inside `.", "`", ""), ("`", "`, ", ""), (".", ".", "."), ("", ".", "")];
    reworded(refusal, |message| {
        let said = rewritten(message, |before, _, after| {
            let mut forms = FORMS.into_iter();
            let form = forms.find(|(left, right, _)| before.ends_with(left) && after.starts_with(right));
            form.map(|(left, right, kept)| (kept.to_owned(), left.len(), right.len()))
        });
        match said.starts_with("Unknown field ") {
            // What only a query in a list has.
            true => said.replace("`indexUid`, ", "").replace(", `federationOptions`", ""),
            false => said,
        }
    })
}

/// The refusal of one query alone, as that of the query at this position.
pub fn put_in(refusal: Reply, position: usize) -> Reply {
    reworded(refusal, |message| format!("Inside `.{LIST}{position}]`: {message}"))
}

fn reworded(mut refusal: Reply, reword: impl Fn(&str) -> String) -> Reply {
    if let Ok(mut error) = serde_json::from_slice::<ApiError>(&refusal.body) {
        error.message = reword(&error.message);
        refusal.body = error.to_json();
    }
    refusal
}

/// The message with each `queries[N]` in it replaced. `replace` gets what is before it, `N`, and what is after it, and gives
/// what stands in its place and how much to cut before and after it; `None` leaves it as it is.
fn rewritten(message: &str, replace: impl Fn(&str, usize, &str) -> Option<(String, usize, usize)>) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after_list)) = rest.split_once(LIST) {
        out.push_str(before);
        let digits = after_list.find(|c: char| !c.is_ascii_digit()).unwrap_or(after_list.len());
        let (number, after) = after_list.split_at(digits);
        rest = after_list;
        let place = number.parse().ok().zip(after.strip_prefix(']'));
        let replaced = place.and_then(|(number, after)| Some((replace(&out, number, after)?, after)));
        match replaced {
            Some(((text, cut_before, cut_after), after)) => {
                out.truncate(out.len().saturating_sub(cut_before));
                out.push_str(&text);
                rest = after.get(cut_after..).unwrap_or_default();
            }
            None => out.push_str(LIST),
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorType;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn refusal(message: &str) -> Reply {
        ApiError::new(400, "invalid_search_filter", ErrorType::InvalidRequest, message).into()
    }

    fn message(refusal: &Reply) -> String {
        serde_json::from_slice::<ApiError>(&refusal.body).unwrap().message
    }

    #[test]
    fn positions_are_those_of_the_clients_queries() {
        for (said, expected) in [
            ("Inside `.queries[2]`: no", "Inside `.queries[12]`: no"),
            (
                "at `.queries[0].limit`, and `queries[1].sort[0]`",
                "at `.queries[10].limit`, and `queries[11].sort[0]`",
            ),
            (
                "The results of queries #0 and #21 are incompatible: #x `queries[1]`, #",
                "The results of queries #10 and #31 are incompatible: #x `queries[11]`, #",
            ),
            ("queries[x], queries[, queries[1", "queries[x], queries[, queries[1"),
            ("none", "none"),
        ] {
            assert_eq!(message(&moved(refusal(said), |position| position + 10)), expected);
        }
    }

    #[test]
    fn one_query_alone_has_no_position() {
        for (said, expected) in [
            ("Inside `.queries[1]`: Index `a`: no", "Index `a`: no"),
            (
                "Unknown field `x` inside `.queries[0]`: expected one of `indexUid`, `q`, `federationOptions`",
                "Unknown field `x`: expected one of `q`",
            ),
            ("Invalid value type at `.queries[0].limit`: x", "Invalid value type at `.limit`: x"),
            ("  1. `queries[1].sort[0]`: y", "  1. `sort[0]`: y"),
            ("  1. `queries[1]`, `a.rankingRules[0]`: y", "  1. `a.rankingRules[0]`: y"),
            ("queries[]", "queries[]"),
        ] {
            assert_eq!(message(&left_out(refusal(said))), expected);
        }
        assert_eq!(message(&put_in(refusal("no"), 3)), "Inside `.queries[3]`: no");
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(said in "(queries\\[|The results of queries #|#|[0-9]{0,25}|\\]|[.` é]|Inside `\\.| inside `\\.){0,20}") {
            let _ = message(&moved(refusal(&said), |position| position));
            let _ = message(&left_out(refusal(&said)));
        }
    }
}
