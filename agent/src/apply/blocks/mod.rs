//! The hand that reads and writes blocks in the API server: each step one compare-and-swap, each result a fact.

mod storage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipam::block::picture::{Seen, concerns};
use ipam::block::{Op, Told};
use kube::Client;
use model::object::{BlockAffinity, BlockAffinitySpec, Deleted, IpamBlockSpec, Object, cidr_name};
use model::{NodeName, Prefix};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api_server::{ApiServer, reason};
use crate::fact::Fact;
use storage::{Kind, Storage, Wrote};

/// How long one step may take; then what became of it is not known.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to the hand.
#[derive(Debug, Clone)]
pub struct Hand {
    /// Unbounded, but no list is given before the last one is done.
    steps: mpsc::UnboundedSender<Vec<Op>>,
}

impl Hand {
    /// Starts it on the API server's thread.
    pub fn start(api: &ApiServer, node: NodeName, facts: mpsc::Sender<Fact>) -> Hand {
        let (steps, mut given) = mpsc::unbounded_channel();
        let mut writer = Writer { api: api.clone(), node: node.to_string(), facts, storage: None };
        api.spawn(async move {
            while let Some(ops) = given.recv().await {
                let problem = writer.take(ops).await;
                if writer.facts.send(Fact::BlocksDone(problem)).await.is_err() {
                    return;
                }
            }
        });
        Hand { steps }
    }

    /// Takes these steps, in order, up to the first that fails; then says [`Fact::BlocksDone`].
    pub fn take(&self, ops: Vec<Op>) {
        // The agent is ending, or has lost its hand with the whole of the thread.
        let _ = self.steps.send(ops);
    }
}

/// Why a step did not come to a result.
enum Trouble {
    /// It was not done.
    Undone(String),
    /// It may have been done, or may yet be.
    Lost(String),
}

struct Writer {
    api: ApiServer,
    node: String,
    facts: mpsc::Sender<Fact>,
    storage: Option<Storage>,
}

impl Writer {
    /// Returns why the list was not done to its end.
    async fn take(&mut self, ops: Vec<Op>) -> Option<String> {
        let mut problem = None;
        for op in ops {
            let cidr = written(&op);
            let told = match &problem {
                Some(_) => cidr.map(Told::Unsent),
                None => match self.step(op).await {
                    Ok(told) => Some(told),
                    Err(Trouble::Undone(why)) => {
                        problem = Some(why);
                        cidr.map(Told::Unsent)
                    }
                    Err(Trouble::Lost(why)) => {
                        problem = Some(why);
                        cidr.map(Told::Lost)
                    }
                },
            };
            if let Some(told) = told
                && self.facts.send(Fact::Blocks(Box::new(told))).await.is_err()
            {
                return problem;
            }
        }
        problem
    }

    async fn step(&mut self, op: Op) -> Result<Told, Trouble> {
        let client = self.api.client();
        let storage = match self.storage {
            Some(storage) => storage,
            None => {
                let found = tokio::time::timeout(PATIENCE, Storage::find(&client)).await;
                let found = found.map_err(|_| Trouble::Undone("no answer".into()))?;
                *self.storage.insert(found.map_err(|why| Trouble::Undone(why.to_string()))?)
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, step(&client, storage, &self.node, op)).await;
        match outcome {
            Ok(Ok(told)) => Ok(told),
            Ok(Err(error)) => {
                if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                    self.api.renew().await;
                }
                if matches!(&error, kube::Error::Api(status) if status.code == 404) {
                    self.storage = None;
                }
                Err(match &error {
                    kube::Error::Api(status) if (400..500).contains(&status.code) => Trouble::Undone(reason(&error)),
                    _ => Trouble::Lost(reason(&error)),
                })
            }
            Err(_) => Err(Trouble::Lost("no answer".into())),
        }
    }
}

/// The block that a step changes.
fn written(op: &Op) -> Option<Prefix> {
    match op {
        Op::WriteBlock { spec, .. } => Some(spec.cidr),
        Op::DropBlock { cidr, .. } => Some(*cidr),
        Op::SetAffinity { spec, .. } => Some(spec.cidr),
        _ => None,
    }
}

async fn step(client: &Client, storage: Storage, node: &str, op: Op) -> Result<Told, kube::Error> {
    match op {
        Op::Survey { nodes } => survey(client, storage, node, &nodes).await,
        Op::ReadBlock(cidr) => read_block(client, storage, cidr).await,
        Op::ReadHandle(id) => {
            let value = storage.get(client, Kind::Handle, &id.to_lowercase()).await?;
            let block = value.and_then(handle).unwrap_or_default();
            Ok(Told::Handle { id, block })
        }
        Op::SetAffinity { spec, version } => set_affinity(client, storage, spec, version).await,
        Op::DropAffinity { node: of, cidr, version } => {
            if let Some(name) = BlockAffinity::name(&of, &cidr) {
                storage.delete(client, Kind::Affinity, &name, Some(&version)).await?;
            }
            read_affinity(client, storage, &of, cidr).await
        }
        Op::MakeBlock(spec) => {
            let cidr = spec.cidr;
            match storage.create(client, Kind::Block, &cidr_name(&cidr), to_value(&spec)?).await? {
                Wrote::Now(value) => wrote(cidr, value),
                Wrote::Other => read_block(client, storage, cidr).await,
            }
        }
        Op::WriteBlock { spec, version } => {
            let cidr = spec.cidr;
            match storage.replace(client, Kind::Block, &cidr_name(&cidr), &version, to_value(&spec)?).await? {
                Wrote::Now(value) => wrote(cidr, value),
                Wrote::Other => read_block(client, storage, cidr).await,
            }
        }
        Op::DropBlock { cidr, version } => {
            storage.delete(client, Kind::Block, &cidr_name(&cidr), Some(&version)).await?;
            read_block(client, storage, cidr).await
        }
        Op::SetHandle { id, block } => {
            if let Err(error) = set_handle(client, storage, &id, &block).await {
                // Nothing of ours is decided by handles; Calico's tools release by them.
                tracing::warn!(handle = %id, error = %reason(&error), "an IPAMHandle can't be written");
            }
            Ok(Told::Handle { id, block })
        }
    }
}

fn to_value<T: serde::Serialize>(spec: &T) -> Result<Value, kube::Error> {
    serde_json::to_value(spec).map_err(kube::Error::SerdeError)
}

/// A block as the server has it after our write. One that can't be read after it was written is as good as lost.
fn wrote(cidr: Prefix, value: Value) -> Result<Told, kube::Error> {
    Ok(block(value).map_or(Told::Lost(cidr), Told::Written))
}

async fn read_block(client: &Client, storage: Storage, cidr: Prefix) -> Result<Told, kube::Error> {
    let value = storage.get(client, Kind::Block, &cidr_name(&cidr)).await?;
    Ok(Told::Block { cidr, seen: understood(value, block)? })
}

/// What is there and not understood is not the same as nothing: who took it so would try to make it again and again.
fn understood<T>(value: Option<Value>, read: fn(Value) -> Option<T>) -> Result<Option<T>, kube::Error> {
    let not_understood = || kube::Error::SerdeError(serde::de::Error::custom("not understood"));
    value.map(|value| read(value).ok_or_else(not_understood)).transpose()
}

async fn read_affinity(client: &Client, storage: Storage, node: &str, cidr: Prefix) -> Result<Told, kube::Error> {
    let value = match BlockAffinity::name(node, &cidr) {
        Some(name) => storage.get(client, Kind::Affinity, &name).await?,
        None => None,
    };
    Ok(Told::Affinity { node: node.to_string(), cidr, seen: understood(value, affinity)? })
}

async fn set_affinity(
    client: &Client,
    storage: Storage,
    mut spec: BlockAffinitySpec,
    version: Option<String>,
) -> Result<Told, kube::Error> {
    let (node, cidr) = (spec.node.clone(), spec.cidr);
    let Some(name) = BlockAffinity::name(&node, &cidr) else {
        tracing::error!(%node, "the node's name is too long for a BlockAffinity");
        return Ok(Told::Affinity { node, cidr, seen: None });
    };
    if storage == Storage::Older {
        spec.deleted = Deleted::Text("false".into());
    }
    let outcome = match version {
        None => storage.create(client, Kind::Affinity, &name, to_value(&spec)?).await?,
        Some(version) => storage.replace(client, Kind::Affinity, &name, &version, to_value(&spec)?).await?,
    };
    match outcome {
        Wrote::Now(value) => Ok(Told::Affinity { node, cidr, seen: affinity(value) }),
        Wrote::Other => read_affinity(client, storage, &node, cidr).await,
    }
}

async fn set_handle(
    client: &Client,
    storage: Storage,
    id: &str,
    block: &BTreeMap<Prefix, u32>,
) -> Result<(), kube::Error> {
    let name = id.to_lowercase();
    if block.is_empty() {
        return storage.delete(client, Kind::Handle, &name, None).await;
    }
    let spec = json!({"handleID": id, "block": to_value(block)?, "deleted": false});
    if let Wrote::Now(_) = storage.create(client, Kind::Handle, &name, spec.clone()).await? {
        return Ok(());
    }
    if let Some(value) = storage.get(client, Kind::Handle, &name).await? {
        storage.replace(client, Kind::Handle, &name, &version(&value), spec).await?;
    }
    Ok(())
}

/// Lists everything, page by page; only what concerns these nodes is kept whole.
async fn survey(client: &Client, storage: Storage, node: &str, nodes: &BTreeSet<String>) -> Result<Told, kube::Error> {
    let (mut affinities, mut hosts) = (Vec::new(), BTreeSet::new());
    let mut next = None;
    loop {
        let page = storage.list(client, Kind::Affinity, next.as_deref()).await?;
        for seen in page.items.into_iter().filter_map(affinity).filter(|seen| seen.spec.is_of_host()) {
            hosts.insert(seen.spec.node.clone());
            if nodes.contains(&seen.spec.node) {
                affinities.push(seen);
            }
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let (mut blocks, mut others) = (Vec::new(), BTreeMap::new());
    loop {
        let page = storage.list(client, Kind::Block, next.as_deref()).await?;
        for value in page.items {
            let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_string();
            match block(value) {
                Some(seen) if nodes.iter().any(|node| concerns(&seen.spec, node)) => blocks.push(seen),
                Some(seen) => {
                    let free = if seen.spec.deleted { 0 } else { seen.spec.unallocated.len() };
                    others.insert(seen.spec.cidr, free);
                }
                None => tracing::warn!(node, block = %name, "an IPAMBlock can't be read; it is left alone"),
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok(Told::Surveyed { blocks, affinities, others, hosts });
        }
    }
}

fn version(value: &Value) -> String {
    value.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_string()
}

/// An object as margay reads it everywhere, its checks included.
fn read(value: Value) -> Option<Object> {
    match model::object::read_value("API server", value) {
        model::object::Document::Object(found) => Some(found.object),
        model::object::Document::Bad(_, error) => {
            tracing::warn!(%error, "not used");
            None
        }
    }
}

fn block(value: Value) -> Option<Seen<IpamBlockSpec>> {
    let version = version(&value);
    match read(value)? {
        Object::IpamBlock(block) => Some(Seen { version, spec: block.spec }),
        _ => None,
    }
}

fn affinity(value: Value) -> Option<Seen<BlockAffinitySpec>> {
    let version = version(&value);
    match read(value)? {
        Object::BlockAffinity(affinity) => Some(Seen { version, spec: affinity.spec }),
        _ => None,
    }
}

fn handle(value: Value) -> Option<BTreeMap<Prefix, u32>> {
    match read(value)? {
        Object::IpamHandle(handle) => Some(handle.spec.block),
        _ => None,
    }
}
