//! `cargo xtask CHORE`: the commands behind the Makefile that are not shell one-liners.

use std::process::ExitCode;

use clap::Parser;
use xtask::rules::{self, House};
use xtask::{crds, image, manifests, rfcs};

fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("rules") => {
            let breaches = rules::check(&House::discover()?);
            for breach in &breaches {
                println!("{breach}\n");
            }
            println!("house rules: {} breach(es)", breaches.len());
            Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some("docs") => {
            let house = House::discover()?;
            let changed = rfcs::write(&house)?;
            println!("{}: {}", rfcs::path().display(), if changed { "written" } else { "was fresh" });
            let missing = rfcs::without_row(&house);
            missing.iter().for_each(|one| println!("no row in xtask/src/rfcs/table.rs: {one}"));
            Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Some("crds") => {
            let touched = crds::write()?;
            touched.iter().for_each(|name| println!("{name}: written"));
            println!("{} kind(s), {} file(s) stale", crds::files()?.len(), touched.len());
            // It holds them all.
            manifests::write()?;
            Ok(ExitCode::SUCCESS)
        }
        Some("manifests") => {
            let stale = manifests::write()?;
            println!("{}: {}", manifests::path().display(), if stale { "written" } else { "was fresh" });
            Ok(ExitCode::SUCCESS)
        }
        Some("image") => {
            image::run(&image::Arguments::parse_from(std::env::args_os().skip(1)))?;
            Ok(ExitCode::SUCCESS)
        }
        other => {
            if let Some(chore) = other {
                eprintln!("no chore is called {chore:?}");
            }
            eprintln!("usage: cargo xtask rules    check the arrows between crates, purity and the shape of files");
            eprintln!("       cargo xtask docs     write docs/bgp.md anew from the citations in the code");
            eprintln!(
                "       cargo xtask crds     write manifests/crd/ and docs/objects.md anew from the types of the objects"
            );
            eprintln!("       cargo xtask manifests  write manifests/margay.yaml anew from its parts");
            eprintln!("       cargo xtask image    pack the programs of a node into a container image");
            Ok(ExitCode::FAILURE)
        }
    }
}
