//! The way of a packet and what policies say, as they are printed.

use super::*;

#[test]
fn a_trace_is_a_line_for_each_hop_and_a_verdict() {
    let end =
        |kind, name: &str, address: &str| EndView { kind, name: name.into(), address: ip(address), node: "n1".into() };
    let hop = HopView::new;
    let mut denied = hop(TraceStep::Egress, Effect::Drops, "denied", "no rule of NetworkPolicy/shop/cart matches");
    denied.judged = Some(judged(PolicyVerdict::Denied, "no rule of NetworkPolicy/shop/cart matches"));
    let view = TraceView {
        from: end(EndKind::Pod, "shop/cart", "10.244.1.5"),
        to: end(EndKind::Address, "", "192.0.2.80"),
        connection: Connection { protocol: model::Protocol::TCP, port: 80 },
        hops: vec![
            hop(TraceStep::Origin, Effect::Passes, "cali12345678901, mtu 1500", "the link of pod shop/cart"),
            hop(TraceStep::Route, Effect::Passes, "0.0.0.0/0 via 10.0.0.254 dev eth0", "another's route"),
            denied,
        ],
        outcome: TraceOutcome::Dropped,
        verdict: "dropped by egress policy: no rule of NetworkPolicy/shop/cart matches".into(),
    };
    check(
        trace::trace(&view, Detail::Normal),
        "
        From  shop/cart (10.244.1.5)
        To    192.0.2.80, TCP port 80

        #   STEP     EFFECT    WHAT                                WHY
        1   from     ok        cali12345678901, mtu 1500           the link of pod shop/cart
        2   route    ok        0.0.0.0/0 via 10.0.0.254 dev eth0   another's route
        3   egress   DROPPED   denied                              no rule of NetworkPolicy/shop/cart matches

        Staged policies would have decided
          egress by StagedNetworkPolicy/shop/cart rule 0: Allow

        Verdict: dropped by egress policy: no rule of NetworkPolicy/shop/cart matches
        ",
    );
}

fn judged(verdict: PolicyVerdict, reason: &str) -> JudgedView {
    let staged = StagedView { object: "StagedNetworkPolicy/shop/cart".into(), rule: Some(0), action: "Allow".into() };
    JudgedView {
        verdict,
        reason: reason.into(),
        tier: None,
        object: None,
        rule: None,
        unmatched: vec![],
        staged: vec![staged],
    }
}

#[test]
fn policies_of_a_pod_are_a_table_for_each_direction_with_what_each_rule_decided() {
    let counter = |packets| Some(CounterView { packets, bytes: packets * 60 });
    let rule = |rule, action: &str, matches: &str, packets| PolicyRuleView {
        rule,
        action: action.into(),
        matches: vec![matches.into()],
        counter: counter(packets),
    };
    let policy = |object: &str, staged, rules| PolicyRulesView { object: object.into(), staged, rules };
    let tier = PolicyTierView {
        tier: "default".into(),
        policies: vec![
            policy("NetworkPolicy/shop/closed", false, vec![]),
            policy("NetworkPolicy/shop/web", false, vec![rule(0, "Allow", "TCP, to port 80", 7)]),
            policy("StagedNetworkPolicy/shop/try", true, vec![rule(0, "Deny", "everything", 9)]),
        ],
        end: "Deny".into(),
        counter: counter(2),
    };
    let view = PolicyView {
        endpoint: "shop/web".into(),
        addresses: vec![ip("10.244.1.6")],
        ingress: PolicyChainView {
            open: false,
            chain: Some("1f2e".into()),
            tiers: vec![tier],
            cut_short: vec!["tier t14".into()],
        },
        egress: PolicyChainView { open: true, ..PolicyChainView::default() },
        counters: String::new(),
    };
    check(
        policy::show(&view, Detail::Normal),
        "
        shop/web (10.244.1.6)

        Ingress, chain 1f2e
        TIER      POLICY                                  RULE   ACTION   PACKETS   WHAT
        default   NetworkPolicy/shop/closed               -      -        -         no rules: isolates, allows nothing
        default   NetworkPolicy/shop/web                  0      Allow    7         TCP, to port 80
        default   StagedNetworkPolicy/shop/try (staged)   0      Deny     9         everything
        default   -                                       end    Deny     2         what none of these decided
        Cut short: tier t14

        Egress: open, no policy is about it
        ",
    );
}

#[test]
fn pods_without_policies_are_listed_as_open() {
    let pod = |endpoint: &str, policies, staged| PolicyPodView {
        endpoint: endpoint.into(),
        addresses: vec![],
        ingress: PolicyCount { policies, staged },
        egress: PolicyCount::default(),
    };
    check(
        policy::pods(&[pod("shop/cart", 0, 0), pod("shop/db", 0, 1), pod("shop/web", 2, 1)], Detail::Normal),
        "
        ENDPOINT    ADDRESSES   INGRESS POLICIES   EGRESS POLICIES
        shop/cart   -           open               open
        shop/db     -           open, 1 staged     open
        shop/web    -           2, 1 staged        open
        ",
    );
}

#[test]
fn a_policy_test_tells_both_sides_and_the_log_whom_it_was() {
    let end = |name: &str, address: &str| EndView {
        kind: EndKind::Pod,
        name: name.into(),
        address: ip(address),
        node: String::new(),
    };
    let connection = Connection { protocol: model::Protocol::TCP, port: 81 };
    let mut denied = judged(PolicyVerdict::Denied, "no rule matches of NetworkPolicy/shop/web (end of tier default)");
    denied.staged.clear();
    let mut open = judged(PolicyVerdict::Allowed, "no egress policy is about it");
    open.staged.clear();
    let (from, to) = (end("shop/cart", "10.244.1.5"), end("shop/web", "10.244.1.6"));
    let test = PolicyTestView {
        from: from.clone(),
        to: to.clone(),
        connection,
        egress: open,
        ingress: denied.clone(),
        verdict: PolicyVerdict::Denied,
    };
    check(
        policy::test(&test),
        "
        shop/cart (10.244.1.5) to shop/web (10.244.1.6), TCP port 81: denied
          egress    allowed: no egress policy is about it
          ingress   denied: no rule matches of NetworkPolicy/shop/web (end of tier default)
        ",
    );
    let (at, event, direction) = (LONG_AGO.to_string(), PolicyEvent::Denied, "ingress".to_string());
    let denial = DenialView { at, event, direction, from, to, connection, source_port: 40000, judged: denied };
    let log = DenialsView { denials: vec![denial], forgotten: 3, missed: 1, problem: String::new() };
    check(
        policy::log(&log, Detail::Normal),
        "
        TIME         EVENT    DIRECTION   FROM                     TO                      CONNECTION    WHY
        2020-02-02   denied   ingress     shop/cart (10.244.1.5)   shop/web (10.244.1.6)   TCP port 81   no rule matches of NetworkPolicy/shop/web (end of tier default)
        3 denials before these are forgotten.
        1 packet came too fast to be taken in.
        ",
    );
    let none = DenialsView { problem: "NFLOG group 4 can't be read: busy".into(), ..DenialsView::default() };
    assert!(
        policy::log(&none, Detail::Normal).starts_with("Denials are not logged: NFLOG group 4 can't be read: busy\n")
    );
}
