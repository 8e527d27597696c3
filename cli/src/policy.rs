//! `policy matrix`: who may reach whom by a directory of objects, by the compiler that the node runs.

mod objects;
mod stand_in;

use anyhow::bail;
use policy::{Engine, Row};

use crate::args::MatrixArguments;
use crate::output::{Detail, column, columns, counted};
use crate::show;

/// The most rows that are made.
const ROWS: usize = 10_000_000;

/// Prints the matrix.
pub fn matrix(arguments: &MatrixArguments) -> anyhow::Result<()> {
    let MatrixArguments { ports, protocols, output, .. } = arguments;
    let mut objects = objects::read(&arguments.objects)?;
    stand_in::place(&mut objects)?;
    let engine = Engine::of(&objects);
    let pods = engine.pods().count();
    let of_a_pair = ports.len() * protocols.len();
    let all = pods * pods * of_a_pair;
    if all > ROWS {
        let (ports, protocols) = (ports.len(), protocols.len());
        bail!("{pods} pods, {ports} ports and {protocols} protocols make {all} rows, more than {ROWS}");
    }
    let rows = policy::matrix(&engine, protocols, ports);
    if rows.len() < all {
        let pairs = counted((all - rows.len()) / of_a_pair, "pair");
        eprintln!("margayctl: {pairs} of pods left out: no address of the same family");
    }
    show(&rows, output.format, |detail| table(&rows, detail))
}

fn table(rows: &[Row], detail: Detail) -> String {
    if rows.is_empty() {
        return "No pods.\n".to_string();
    }
    columns(
        rows,
        detail,
        &[
            column("FROM", |row: &Row| row.from.clone()),
            column("TO", |row: &Row| row.to.clone()),
            column("PROTOCOL", |row: &Row| row.protocol.to_string()),
            column("PORT", |row: &Row| row.port.to_string()),
            column("EGRESS", |row: &Row| row.egress.to_string()),
            column("INGRESS", |row: &Row| row.ingress.to_string()),
            column("COMBINED", |row: &Row| row.combined.to_string()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {namespace: x, name: NAME, labels: {app: NAME}}\n---\n";
    const POLICY: &str = "\
apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: x, name: web}\n\
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: shop}}}], ports: [{port: 80}]}]}\n";

    fn rows(text: &str) -> anyhow::Result<Vec<String>> {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("all.yaml"), text).expect("written");
        let mut objects = objects::read(directory.path())?;
        stand_in::place(&mut objects)?;
        let rows = policy::matrix(&Engine::of(&objects), &[model::Protocol::TCP], &[80, 81]);
        let blocked = rows.iter().filter(|row| row.combined == policy::Verdict::Blocked);
        Ok(blocked.map(|row| format!("{} {}:{}", row.from, row.to, row.port)).collect())
    }

    #[test]
    fn pods_need_no_address_and_foreign_kinds_do_not_disturb() {
        let pods: String = ["web", "shop", "other"].map(|name| POD.replace("NAME", name)).concat();
        let text = format!("{pods}apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\n---\n{POLICY}");
        assert_eq!(rows(&text).expect("rows"), ["x/other x/web:80", "x/other x/web:81", "x/shop x/web:81"]);
    }

    #[test]
    fn a_policy_that_is_not_understood_is_an_error_and_never_passed_over() {
        let error = rows(&POLICY.replace("ports:", "portz:")).expect_err("a field of another name");
        assert!(error.to_string().contains("NetworkPolicy/x/web: spec.ingress[0]"), "{error}");
    }
}
