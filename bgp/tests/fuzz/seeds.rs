//! What cases are made of: the corpus of the fuzz targets, and for some the messages of the RFC 7606 vectors.

use std::path::Path;

/// The seeds of a target; none if there is no such folder.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<Vec<u8>> = files.filter_map(|file| std::fs::read(file.path()).ok()).collect();
    for message in vectors() {
        let Some(body) = message.get(19..) else { continue };
        match target {
            "message" => all.push(message),
            "update" => all.push([&[1], body].concat()),
            "attribute" => all.extend(attributes(body).into_iter().map(|attributes| [&[0], attributes].concat())),
            _ => {}
        }
    }
    all
}

fn vectors() -> Vec<Vec<u8>> {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../vectors/rfc7606.json")).unwrap_or_default();
    let lists = ["ebgp", "ibgp"].map(|list| vectors[list].as_array().cloned().unwrap_or_default());
    let hex = lists.into_iter().flatten().filter_map(|v| v["hex"].as_str().map(str::to_owned));
    hex.map(|hex| octets(&hex)).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// The path attributes in the body of an UPDATE.
fn attributes(body: &[u8]) -> Option<&[u8]> {
    let (withdrawn, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*withdrawn))..)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}
