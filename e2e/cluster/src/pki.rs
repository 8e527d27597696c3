//! A throw-away certificate authority, the API server's certificate, and a token and kubeconfig for each user.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::plan::{API_SERVICE, CONTROL_PLANE, Plan};

/// Makes everything anew.
pub fn make(plan: &Plan) -> Result<()> {
    let folder = plan.pki();
    fs::create_dir_all(&folder)?;
    key(&folder, "ca")?;
    openssl(
        &folder,
        &[
            "req",
            "-x509",
            "-new",
            "-key",
            "ca.key",
            "-subj",
            "/CN=margay-cluster-ca",
            "-days",
            "3650",
            "-out",
            "ca.crt",
        ],
    )?;
    let names = format!(
        "subjectAltName=IP:127.0.0.1,IP:{CONTROL_PLANE},IP:{API_SERVICE},DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
         DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local\nextendedKeyUsage=serverAuth\n"
    );
    sign(&folder, "apiserver", "/CN=kube-apiserver", &names)?;
    sign(
        &folder,
        "kubelet-client",
        "/O=system:masters/CN=kube-apiserver-kubelet-client",
        "extendedKeyUsage=clientAuth\n",
    )?;
    openssl(&folder, &["genrsa", "-out", "sa.key", "2048"])?;
    openssl(&folder, &["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"])?;

    let mut tokens = String::new();
    let fixed = [
        ("admin", "admin".to_owned(), "system:masters"),
        ("scheduler", "system:kube-scheduler".to_owned(), ""),
        ("proxy", "system:kube-proxy".to_owned(), ""),
    ];
    let kubelets = plan.nodes.iter().map(|node| (node.as_str(), format!("system:node:{node}"), "system:nodes"));
    for (file, user, groups) in fixed.into_iter().chain(kubelets) {
        let token = openssl(&folder, &["rand", "-hex", "16"])?;
        let token = token.trim();
        let _ = writeln!(tokens, "{token},{user},{user},\"{groups}\"");
        fs::write(plan.kubeconfig(file), kubeconfig(&folder, token))?;
    }
    fs::write(folder.join("tokens.csv"), tokens)?;
    Ok(())
}

fn kubeconfig(folder: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\n\
         clusters: [{{name: c, cluster: {{server: \"https://{CONTROL_PLANE}:6443\", certificate-authority: {}}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\ncurrent-context: c\n",
        folder.join("ca.crt").display()
    )
}

fn key(folder: &Path, name: &str) -> Result<()> {
    openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &format!("{name}.key")])?;
    Ok(())
}

fn sign(folder: &Path, name: &str, subject: &str, extensions: &str) -> Result<()> {
    key(folder, name)?;
    let (own_key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
    openssl(folder, &["req", "-new", "-key", &own_key, "-subj", subject, "-out", &request])?;
    fs::write(folder.join("extensions"), extensions)?;
    let by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3650", "-extfile", "extensions"];
    openssl(folder, &[&["x509", "-req", "-in", &request, "-out", &certificate], &by[..]].concat())?;
    Ok(())
}

fn openssl(folder: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("openssl").args(args).current_dir(folder).output().context("cannot run openssl")?;
    ensure!(output.status.success(), "`openssl {}`: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
