//! What installs margay says what the rest of the house says: it is fresh, names the image that is built, and allows
//! what the agent asks for and nothing else.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{crds, image, manifests};

fn objects() -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(manifests::path())?;
    text.split("\n---\n").map(|part| serde_saphyr::from_str(part).with_context(|| part.to_string())).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind).with_context(|| format!("no {kind}"))
}

fn images(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).map(str::to_owned).collect())
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn the_one_file_is_fresh() -> Result<()> {
    let written = std::fs::read_to_string(manifests::path())?;
    ensure!(written == manifests::text()?, "run `{}`", manifests::COMMAND);
    Ok(())
}

#[test]
fn the_values_that_a_user_may_edit_come_first() -> Result<()> {
    let objects = objects()?;
    let first = objects.first().context("an object")?;
    let keys: Vec<&String> = first["data"].as_object().context("data")?.keys().collect();
    assert_eq!(keys, ["MARGAY_POOL_CIDR", "MARGAY_POOL_IPIP_MODE"]);
    Ok(())
}

#[test]
fn the_image_is_named_once_and_is_the_one_that_is_built() -> Result<()> {
    assert_eq!(images(&manifests::path())?, [image::NAME]);
    Ok(())
}

#[test]
fn uninstalling_takes_the_same_image() -> Result<()> {
    let named = images(&manifests::path().with_file_name("margay-uninstall.yaml"))?;
    assert_eq!(named, [image::NAME; 2], "both containers");
    Ok(())
}

/// Read when the agent is about to change them, and never watched: there are as many of them as nodes or pods. The agent
/// has the same list (READ_IN_PASSING), which is out of reach from here.
const READ_IN_PASSING: [&str; 3] = ["blockaffinities", "ipamblocks", "ipamhandles"];

#[test]
fn every_kind_of_ours_may_be_watched_but_those_that_are_read_in_passing() -> Result<()> {
    let objects = objects()?;
    let role = of_kind(&objects, "ClusterRole")?;
    let rules = role["rules"].as_array().context("rules")?;
    let may = |verb: &str, plural: &str| {
        rules.iter().any(|rule| {
            texts(&rule["apiGroups"]).contains(&"projectcalico.org")
                && texts(&rule["resources"]).contains(&plural)
                && texts(&rule["verbs"]).contains(&verb)
        })
    };
    for name in crds::files()?.keys() {
        let plural = name.trim_start_matches("projectcalico.org_").trim_end_matches(".yaml");
        let watched = !READ_IN_PASSING.contains(&plural);
        ensure!(may("list", plural), "the ClusterRole in manifests/install does not let the agent list {plural}");
        ensure!(
            may("watch", plural) == watched,
            "the ClusterRole in manifests/install: may the agent watch {plural}? Needed: {watched}"
        );
    }
    Ok(())
}

/// Without it a policy whose kind has just come would wait for up to a minute.
#[test]
fn the_agent_may_hear_of_kinds_that_come_but_not_make_any() -> Result<()> {
    let objects = objects()?;
    let rules = of_kind(&objects, "ClusterRole")?["rules"].as_array().context("rules")?;
    let of_definitions = |rule: &&Value| texts(&rule["resources"]).contains(&"customresourcedefinitions");
    let verbs: Vec<_> = rules.iter().filter(of_definitions).map(|rule| texts(&rule["verbs"])).collect();
    assert_eq!(verbs, [["list", "watch"]]);
    Ok(())
}

#[test]
fn no_permission_is_for_everything() -> Result<()> {
    let objects = objects()?;
    for role in objects.iter().filter(|object| object["rules"].is_array()) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for part in ["apiGroups", "resources", "verbs"] {
                ensure!(!texts(&rule[part]).contains(&"*"), "{} has a * among its {part}", role["metadata"]["name"]);
            }
            let secrets = texts(&rule["resources"]).contains(&"secrets");
            ensure!(!secrets || rule["resourceNames"].is_array(), "Secrets are allowed by name only");
        }
    }
    Ok(())
}

#[test]
fn the_agent_is_not_privileged_and_its_root_is_read_only() -> Result<()> {
    let objects = objects()?;
    let pod = &of_kind(&objects, "DaemonSet")?["spec"]["template"]["spec"];
    for container in pod["containers"].as_array().context("containers")? {
        let security = &container["securityContext"];
        assert_eq!((&security["privileged"], &security["allowPrivilegeEscalation"]), (&false.into(), &false.into()));
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"]);
    }
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    Ok(())
}

/// A patch that names what is not there any more would add it, or end `kubectl apply -k` with an error.
#[test]
fn the_base_for_policies_alone_fits_what_is_installed_and_writes_nothing_but_events() -> Result<()> {
    let folder = manifests::path().with_file_name("policy-only");
    let read = |name: &str| -> Result<Value> {
        let text = std::fs::read_to_string(folder.join(name)).with_context(|| name.to_string())?;
        serde_saphyr::from_str(&text).with_context(|| text)
    };
    let installed = objects()?;
    let is_there = |patch: &Value| {
        let same = |field: &str, object: &Value| object["metadata"][field] == patch["metadata"][field];
        let found =
            |object: &&Value| object["kind"] == patch["kind"] && same("name", object) && same("namespace", object);
        installed.iter().find(found).with_context(|| format!("margay.yaml does not have {patch}"))
    };
    for patch in read("kustomization.yaml")?["patches"].as_array().context("patches")? {
        match (patch["path"].as_str(), patch["patch"].as_str()) {
            (Some(path), _) => is_there(&read(path)?).map(drop)?,
            (None, text) => is_there(&serde_saphyr::from_str(text.context("a patch")?)?).map(drop)?,
        }
    }
    let pod = |object: &Value| object["spec"]["template"]["spec"].clone();
    let (patched, whole) = (pod(&read("agent.yaml")?), pod(of_kind(&installed, "DaemonSet")?));
    let (agent, original) = (&patched["containers"][0], &whole["containers"][0]);
    assert_eq!(agent["name"], original["name"]);
    assert_eq!(texts(&agent["args"]), ["--kubernetes", "--policy-only"]);
    for (field, taken, there) in [
        ("name", &patched["volumes"], &whole["volumes"]),
        ("mountPath", &agent["volumeMounts"], &original["volumeMounts"]),
    ] {
        for one in taken.as_array().context("what is taken away")? {
            let found = there.as_array().into_iter().flatten().any(|other| other[field] == one[field]);
            ensure!(one["$patch"] == "delete" && found, "{one}");
        }
    }
    let role = read("access.yaml")?;
    let watched = |object: &Value, verb: &str| -> Vec<String> {
        let rules = object["rules"].as_array().into_iter().flatten();
        let of_verb = rules.filter(|rule| texts(&rule["verbs"]).contains(&verb));
        of_verb.flat_map(|rule| texts(&rule["resources"]).into_iter().map(str::to_owned)).collect()
    };
    assert_eq!(watched(&role, "watch"), watched(of_kind(&installed, "ClusterRole")?, "watch"));
    for verb in ["create", "patch"] {
        assert_eq!(watched(&role, verb), ["events"]);
    }
    assert!(watched(&role, "delete").is_empty() && watched(&role, "update").is_empty());
    Ok(())
}
