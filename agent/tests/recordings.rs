//! Recordings of real agents, replayed: every `recordings/*.jsonl` must lead to the `.txt` of its name.
//!
//! A recording comes from `margay-agent --record`; `BLESS=1 cargo test` writes the texts anew.

use std::fs;
use std::path::Path;

#[test]
fn every_recording_leads_to_the_plans_it_led_to_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let recording = entry.unwrap().path();
        if recording.extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        let text = recording.with_extension("txt");
        let expected = fs::read_to_string(&text).unwrap_or_default();
        let node = expected.lines().next().and_then(|l| l.strip_prefix("node ")).unwrap_or("n1").parse().unwrap();
        let mut out = Vec::new();
        agent::replay::replay(node, fs::read(&recording).unwrap().as_slice(), &mut out).unwrap();
        let now = String::from_utf8(out).unwrap();
        if std::env::var_os("BLESS").is_some() {
            fs::write(&text, now).unwrap();
        } else {
            assert_eq!(now, expected, "{} (BLESS=1 if this is meant)", recording.display());
        }
        replayed += 1;
    }
    assert!(replayed > 0, "no recording in {}", folder.display());
}

#[test]
fn a_line_that_is_no_fact_is_named() {
    let error = agent::replay::replay("n1".parse().unwrap(), &b"\n{\"at\":1}\n"[..], Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("line 2: "), "{error}");
}
