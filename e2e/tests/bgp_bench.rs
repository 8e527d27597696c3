//! The bench of BGP under load, with small loads: it measures what it says, of everybody.

use std::collections::BTreeSet;

use e2e::bgp_bench::report::{Medians, Origin, page, plot};
use e2e::bgp_bench::{Contestant, Plan, Record, run, spared};

#[test]
fn every_contestant_does_the_work_of_every_load_and_loses_no_session() {
    let plan = Plan::short(&format!("e2e{}-bgp", std::process::id()));
    let mut records: Vec<Record> = Vec::new();
    run(
        &plan,
        |what| println!("{what}"),
        |record| {
            records.push(record);
            Ok(())
        },
    )
    .unwrap();
    for scenario in &plan.scenarios {
        for contestant in Contestant::ALL.into_iter().filter(|who| spared(*who, scenario, 0).is_none()) {
            let of = |record: &&Record| record.scenario == scenario.name && record.contestant == contestant;
            let mut steps = BTreeSet::new();
            for record in records.iter().filter(of) {
                let measure =
                    record.outcome.as_ref().unwrap_or_else(|why| panic!("{contestant}, {}: {why}", scenario.name));
                assert!(measure.lost.is_empty(), "{contestant}, {}: {:?}", scenario.name, measure.lost);
                assert!(measure.peak > 1.0 && measure.seconds > 0.0, "{contestant}, {}: {measure:?}", scenario.name);
                steps.insert(record.step.clone());
            }
            assert!(steps.contains("connect") && steps.len() > 1, "{contestant}, {}: only {steps:?}", scenario.name);
        }
    }
    let medians = Medians::of(&records);
    let origin = Origin { machine: "a test".into(), versions: vec![] };
    assert!(page(&medians, &origin).contains("| announce | time |"));
    assert!(plot(&medians).contains("<circle"));
}
