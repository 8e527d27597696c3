//! A name for our routes: so that `ip route` prints `proto margay`.

use std::path::Path;
use std::{fs, io};

use model::kernel::ROUTE_PROTOCOL;

/// Where iproute2 looks for further names of route protocols.
pub const RT_PROTOS_D: &str = "/etc/iproute2/rt_protos.d";

/// The file that holds our name.
pub(super) const FILE: &str = "margay.conf";

/// Writes the name of our protocol number, unless it is there. Says whether anything was written.
pub fn name_route_protocol(directory: &Path) -> io::Result<bool> {
    let file = directory.join(FILE);
    let text = format!("# Routes of margay-agent.\n{ROUTE_PROTOCOL} margay\n");
    if fs::read_to_string(&file).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    fs::create_dir_all(directory)?;
    fs::write(&file, text)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_named_once() {
        let directory = tempfile::tempdir().unwrap();
        let names = directory.path().join("rt_protos.d");
        assert!(name_route_protocol(&names).unwrap());
        assert!(!name_route_protocol(&names).unwrap());
        assert!(fs::read_to_string(names.join("margay.conf")).unwrap().ends_with("109 margay\n"));
    }
}
