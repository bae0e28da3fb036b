use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NODES: [&str; 3] = ["a", "b", "c"];

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A cluster of three nodes that a worker has got to know.
fn known() -> Pace {
    let mut pace = Pace::default();
    for call in 0..200 {
        for node in NODES {
            pace.answered(node, Kind::Search, ms(8 + call % 10));
            pace.answered(node, Kind::Get, ms(1));
        }
    }
    assert_eq!(pace.agree(None, ms(0)), Agreed { changed: false, tell: None });
    pace
}

fn late_after(pace: &Pace, node: &str, kind: Kind) -> Option<Duration> {
    pace.latencies.late_after(node, kind)
}

#[test]
fn a_call_is_late_after_what_95_of_100_take() {
    let mut pace = Pace::default();
    assert_eq!(late_after(&pace, "a", Kind::Search), None);
    for call in 0..4000 {
        // From 20 to 119 in no order.
        pace.answered("a", Kind::Search, ms(20 + call * 37 % 100));
    }
    let late = late_after(&pace, "a", Kind::Search).unwrap();
    assert!(ms(100) < late && late < ms(130), "{late:?}");
    // What is quick is not late at once.
    for _ in 0..4000 {
        pace.answered("b", Kind::Get, ms(1));
    }
    let late = late_after(&pace, "b", Kind::Get).unwrap();
    assert!(ms(10) <= late && late < ms(11), "{late:?}");
}

#[test]
fn each_kind_has_its_own_time() {
    let pace = known();
    let of = |kind| late_after(&pace, "a", kind).unwrap();
    assert!(of(Kind::Search) > of(Kind::Get), "{:?} {:?}", of(Kind::Search), of(Kind::Get));
    assert!(of(Kind::Search) < ms(40));
}

#[test]
fn a_node_that_takes_much_longer_than_its_peers_is_slow_for_a_while() {
    let mut pace = known();
    for _ in 0..3 {
        pace.answered("b", Kind::Search, ms(300));
    }
    assert_eq!(pace.agree(None, ms(250)).tell, None, "a few late answers say nothing");
    for _ in 0..6 {
        pace.answered("b", Kind::Search, ms(300));
    }
    let agreed = pace.agree(None, ms(500));
    assert!(agreed.changed && pace.is_slow("b") && pace.slow_nodes() == 1);
    let told = agreed.tell.unwrap();

    // It stays so without being asked, and then is let back.
    assert_eq!(pace.agree(Some(&told), ms(5_000)), Agreed { changed: false, tell: None });
    assert_eq!(pace.agree(Some(&told), ms(11_000)), Agreed { changed: true, tell: None });
    assert!(!pace.is_slow("b"));
    assert_eq!(late_after(&pace, "b", Kind::Search), None, "it begins anew");
}

#[test]
fn what_was_not_waited_for_counts_if_it_is_long() {
    let mut pace = known();
    for _ in 0..100 {
        pace.unanswered("b", Kind::Search, ms(1));
    }
    let before = late_after(&pace, "b", Kind::Search);
    for _ in 0..9 {
        pace.unanswered("b", Kind::Search, ms(300));
    }
    assert_eq!(before, late_after(&known(), "b", Kind::Search));
    assert!(pace.agree(None, ms(0)).changed);
}

#[test]
fn nodes_that_all_take_longer_are_not_slow() {
    let mut pace = known();
    for _ in 0..100 {
        NODES.iter().for_each(|node| pace.answered(node, Kind::Search, ms(500)));
    }
    assert_eq!(pace.agree(None, ms(0)), Agreed { changed: false, tell: None });
}

#[test]
fn a_node_that_is_asked_more_of_what_takes_long_is_not_slow() {
    let mut pace = known();
    for _ in 0..100 {
        pace.answered("a", Kind::Search, ms(15));
        ["b", "c"].iter().for_each(|node| pace.answered(node, Kind::Get, ms(1)));
    }
    assert_eq!(pace.agree(None, ms(0)), Agreed { changed: false, tell: None });
}

#[test]
fn a_slow_node_is_probed_now_and_then_until_it_is_as_fast_as_the_others() {
    let mut table = crate::table::tests::table(4, 3, 2, 1);
    table.nodes.iter_mut().zip(NODES).for_each(|(node, name)| node.cluster = name.into());
    let routing = Routing::new(table);
    let call = Call {
        cluster: "a".into(),
        authority: "a".into(),
        method: "POST".into(),
        target: "/indexes/i/search".into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: ms(30_000),
        is_timed: true,
    };
    let mut pace = known();
    (0..9).for_each(|_| pace.answered("b", Kind::Search, ms(300)));
    let mut told = pace.agree(None, ms(0)).tell;
    let (mut probes, mut let_back) = (0, None);
    for now in (0..60_000).step_by(100).map(ms) {
        pace.called(&call, Kind::Search, &routing, now);
        while let Some(probe) = pace.next_probe() {
            assert_eq!((&*probe.call.cluster, &*probe.call.authority), ("b", "n1:7700"));
            probes += 1;
            let took = if now < ms(20_000) { ms(300) } else { ms(12) };
            pace.answered("b", probe.kind, took);
        }
        let agreed = pace.agree(told.as_deref(), now);
        told = agreed.tell.or(told);
        assert!(pace.is_slow("b") || now > ms(20_000), "let back at {now:?}");
        if !pace.is_slow("b") {
            let_back = let_back.or(Some((now, probes)));
        }
    }
    let (when, probes) = let_back.unwrap();
    assert!(when < ms(40_000), "{when:?}");
    assert!(probes <= when.as_secs() + 1, "{probes} probes by {when:?}");
}

#[test]
fn what_one_worker_sees_all_know() {
    let (mut one, mut other) = (known(), known());
    (0..9).for_each(|_| one.answered("b", Kind::Search, ms(300)));
    let told = one.agree(None, ms(0)).tell.unwrap();
    assert_eq!(other.agree(Some(&told), ms(1)), Agreed { changed: true, tell: None });
    assert!(other.is_slow("b"));
    // Another was told meanwhile: it is told again, with both.
    (0..9).for_each(|_| other.answered("c", Kind::Search, ms(3000)));
    let both = other.agree(Some(&told), ms(2)).tell.unwrap();
    one.agree(Some(&both), ms(3));
    assert!(one.is_slow("b") && one.is_slow("c"));
    // Nonsense is nothing.
    assert!(one.agree(Some(b"{"), ms(4)).changed);
}
