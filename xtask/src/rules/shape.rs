//! The shape of a file: it says what it is for, it is short, and `unsafe` stays in the rooms that touch the kernel.

use super::{Breach, Room, Source, tokens};

/// More than this and a file is two files.
const LINES: usize = 700;

pub(super) fn check(room: &Room, source: &Source, breaches: &mut Vec<Breach>) {
    let place = format!("{}/{}", room.name, source.path);
    let first = source.text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") {
        breaches.push(Breach {
            place: format!("{place}:1"),
            wrong: format!("starts with {first:?} instead of a `//!` sentence"),
            remedy: "say in the first line what the file is for".into(),
        });
    }
    let lines = source.text.lines().count();
    if lines > LINES {
        breaches.push(Breach {
            place: place.clone(),
            wrong: format!("has {lines} lines, more than {LINES}"),
            remedy: "split it by what its parts are for".into(),
        });
    }
    if !may_be_unsafe(&room.name, &source.path)
        && let Some(token) = tokens::read(&source.text).iter().find(|token| token.text == "unsafe")
    {
        breaches.push(Breach {
            place: format!("{place}:{}", token.line),
            wrong: "`unsafe` outside dataplane and the agent's socket options".into(),
            remedy: "use a safe wrapper (rustix, socket2), or move the call into dataplane".into(),
        });
    }
}

fn may_be_unsafe(room: &str, path: &str) -> bool {
    room == "dataplane" || (room == "margay-agent" && (path.starts_with("src/speaker") || path == "src/bfd/kernel.rs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs(room: &str, path: &str, text: &str) -> Vec<String> {
        let room = Room { name: room.into(), ..Room::default() };
        let mut found = Vec::new();
        check(&room, &Source { path: path.into(), text: text.into() }, &mut found);
        found.into_iter().map(|breach| breach.wrong).collect()
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(wrongs("model", "src/a.rs", "use b;\n"), ["starts with \"use b;\" instead of a `//!` sentence"]);
        assert!(wrongs("model", "src/a.rs", "//! A.\nuse b;\n").is_empty());
    }

    #[test]
    fn a_long_file_is_a_breach() {
        let text = format!("//! A.\n{}", "\n".repeat(LINES));
        assert_eq!(wrongs("model", "src/a.rs", &text), ["has 701 lines, more than 700"]);
    }

    #[test]
    fn unsafe_stays_with_the_kernel() {
        let text = "//! A, not unsafe.\nfn a() { unsafe { b() } }\n";
        assert_eq!(
            wrongs("margay-agent", "src/main.rs", text),
            ["`unsafe` outside dataplane and the agent's socket options"]
        );
        assert!(wrongs("margay-agent", "src/speaker/socket.rs", text).is_empty());
        assert!(wrongs("margay-agent", "src/bfd/kernel.rs", text).is_empty());
        assert!(wrongs("dataplane", "src/linux/netlink.rs", text).is_empty());
    }
}
