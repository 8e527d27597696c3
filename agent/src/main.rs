//! `margay-agent`: speaks BGP for one node and keeps its kernel as the objects say.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use agent::api_server::{Access, ApiServer};
use agent::apply::{cluster, cni, names, uninstall};
use agent::plan::cni::SHIM;
use agent::plan::first_pool::{FirstPools, Ipip};
use agent::plan::report::{self, ReportKind, Voice};
use agent::serve::{Front, serve_http, socket};
use agent::world::Mode;
use agent::world::autodetection::{Autodetection, Method, MethodError};
use agent::{replay, run, speaker};
use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use model::NodeName;
use tracing_subscriber::EnvFilter;

/// The agent of a margay node: an embedded BGP speaker, the kernel's routes, addresses for pods.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// This node's name, as in its Node object.
    #[arg(long, env = "MARGAY_NODE_NAME", global = true)]
    node_name: Option<String>,
    /// Directory of YAML files with the objects; watched.
    #[arg(long, env = "MARGAY_OBJECTS", default_value = "/etc/margay/objects")]
    objects: PathBuf,
    /// Take the objects from the Kubernetes API server, as a pod finds it, and not from files.
    #[arg(long, env = "MARGAY_KUBERNETES")]
    kubernetes: bool,
    /// The same, with the API server of this file's current context.
    #[arg(long, env = "MARGAY_KUBECONFIG", value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Where leases are remembered over a restart.
    #[arg(long, env = "MARGAY_STATE_DIR", default_value = "/var/lib/margay")]
    state_dir: PathBuf,
    /// Unix socket for margay-cni and margayctl.
    #[arg(long, env = "MARGAY_SOCKET", default_value = model::api::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Address and port for metrics and probes over HTTP; empty for none.
    #[arg(long, env = "MARGAY_HTTP_ADDRESS", default_value = "127.0.0.1:9091")]
    http_address: String,
    /// With --kubernetes: pods' range, or one of each family with a comma between, for the first IPPool of a cluster that has none.
    #[arg(long, env = "MARGAY_POOL_CIDR", default_value = "")]
    pool_cidr: String,
    /// The IP-in-IP of that pool: Never, CrossSubnet or Always.
    #[arg(long, env = "MARGAY_POOL_IPIP_MODE", default_value = "CrossSubnet")]
    pool_ipip_mode: Ipip,
    /// Directory of the container runtime's CNI plugins, to install margay-cni in; empty leaves it to others.
    #[arg(long, env = "MARGAY_CNI_BIN_DIR", default_value = "")]
    cni_bin_dir: String,
    /// Directory of its CNI configurations, to write 10-margay.conflist in once pods can be served; empty leaves it to
    /// others.
    #[arg(long, env = "MARGAY_CNI_CONF_DIR", default_value = "")]
    cni_conf_dir: String,
    /// How this node's IPv4 address is found, where its Node object is not to say: first-found, kubernetes-internal-ip,
    /// can-reach=ADDRESS, interface=REGEX, skip-interface=REGEX, cidr=CIDR.
    #[arg(long, env = "IP_AUTODETECTION_METHOD", default_value = "", hide_default_value = true)]
    ip_autodetection_method: String,
    /// The same for IPv6.
    #[arg(long, env = "IP6_AUTODETECTION_METHOD", default_value = "", hide_default_value = true)]
    ip6_autodetection_method: String,
    /// Enforce policies and nothing else: another plugin wires the pods, which are known by their addresses in the API.
    #[arg(long, env = "MARGAY_POLICY_ONLY")]
    policy_only: bool,
    /// Write every fact into this file, a line of JSON each.
    #[arg(long, env = "MARGAY_RECORD")]
    record: Option<PathBuf>,
    /// What is not said to the API: condition, taint, annotations, events, pools, statuses; separated by commas.
    #[arg(long, env = "MARGAY_WITHOUT_REPORTS", value_delimiter = ',', value_name = "KIND")]
    without_reports: Vec<ReportKind>,
    /// Write addresses and container ids on pods as Calico does (cni.projectcalico.org/podIP), for tools that read them.
    #[arg(long, env = "MARGAY_POD_IP_ANNOTATIONS")]
    pod_ip_annotations: bool,
    /// Key of the taint that is taken off this node when its network is there.
    #[arg(long, env = "MARGAY_STARTUP_TAINT", default_value = report::STARTUP_TAINT)]
    startup_taint: String,
    /// What to log: a level (error, warn, info, debug, trace), or directives such as agent::speaker=debug.
    #[arg(long, env = "MARGAY_LOG", default_value = "info")]
    log: String,
    /// How to log.
    #[arg(long, env = "MARGAY_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Print the desired state that follows from a recording; nothing is touched.
    Replay {
        /// Made by --record.
        file: PathBuf,
    },
    /// Take everything of margay's off this node: what was installed, routes, packet rules, links of pods, leases.
    Uninstall {
        /// Wait for SIGTERM when it is done, as a DaemonSet's pod has to.
        #[arg(long)]
        stay: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("margay-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(Command::Uninstall { stay }) = arguments.command {
        return uninstall_from_node(&arguments, stay);
    }
    let node = node_name(arguments.node_name.as_deref())?;
    if let Some(Command::Replay { file }) = arguments.command {
        let recording = std::fs::File::open(&file).with_context(|| file.display().to_string())?;
        replay::replay(node, BufReader::new(recording), std::io::stdout().lock())
            .with_context(|| file.display().to_string())?;
        return Ok(());
    }
    log(&arguments.log, arguments.log_format)?;
    let mode = if arguments.policy_only { Mode::PolicyOnly } else { Mode::Network };
    let cni = if mode == Mode::Network { cni_directories(&arguments)? } else { None };
    let server = api_server(&arguments)?;
    let autodetection = Autodetection {
        ipv4: method(&arguments.ip_autodetection_method).context("--ip-autodetection-method")?,
        ipv6: method(&arguments.ip6_autodetection_method).context("--ip6-autodetection-method")?,
    };
    let first_pools = FirstPools::new(&arguments.pool_cidr, arguments.pool_ipip_mode);
    let mut first_pools = first_pools.map_err(anyhow::Error::msg).context("--pool-cidr")?;
    let mut voice = Voice { startup_taint: arguments.startup_taint, ..Voice::default() };
    voice.silent.extend(arguments.without_reports);
    if arguments.pod_ip_annotations {
        voice.silent.remove(&ReportKind::Pods);
    }
    if mode == Mode::PolicyOnly {
        // What is said of the node's network is another's business.
        use ReportKind::{Annotations, Condition, Pods, Pools, Statuses, Taint};
        voice.silent.extend([Condition, Taint, Annotations, Pods, Pools, Statuses]);
        first_pools = None;
    }
    let Arguments { state_dir, record, objects, .. } = arguments;
    let objects = server.map_or(run::Objects::Directory(objects), run::Objects::Kubernetes);
    let options = run::Options { node, objects, state_dir, record, first_pools, cni, autodetection, voice, mode };
    match agent::speaker::sockopt::raise_descriptors() {
        Ok(most) => tracing::debug!(most, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
    // The speaker's turn must not keep a shim waiting that asks on the socket.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(options, arguments.socket, arguments.http_address))
}

/// The way to the API server, if that is where the objects are.
fn api_server(arguments: &Arguments) -> anyhow::Result<Option<ApiServer>> {
    let access = match (arguments.kubernetes, &arguments.kubeconfig) {
        (_, Some(path)) => Access::Kubeconfig(path.clone()),
        (true, None) => Access::InCluster,
        (false, None) => return Ok(None),
    };
    Ok(Some(ApiServer::start(access)?))
}

fn say_farewell(server: &ApiServer, node: NodeName) -> anyhow::Result<()> {
    let (said, heard) = std::sync::mpsc::channel();
    let hand = server.clone();
    server.spawn(async move { drop(said.send(cluster::say_farewell(&hand, &node).await)) });
    let outcome = heard.recv().context("the API server's thread")?;
    outcome.map_err(anyhow::Error::msg).context("the Node still says that margay is there")
}

fn uninstall_from_node(arguments: &Arguments, stay: bool) -> anyhow::Result<()> {
    let places = uninstall::Places {
        cni: cni_directories(arguments)?,
        state_dir: arguments.state_dir.clone(),
        socket: arguments.socket.clone(),
        names: names::RT_PROTOS_D.into(),
    };
    let outcome = uninstall::uninstall(&places, |done| println!("{done}"));
    outcome.map_err(|stayed| anyhow::anyhow!("not everything could be removed:\n  {}", stayed.join("\n  ")))?;
    println!("nothing of margay is left");
    if let Some(server) = api_server(arguments)? {
        say_farewell(&server, node_name(arguments.node_name.as_deref())?)?;
        println!("its Node says so");
    }
    if stay {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            terminate.recv().await;
            Ok::<(), std::io::Error>(())
        })?;
    }
    Ok(())
}

async fn serve(options: run::Options, path: PathBuf, http_address: String) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tracing::info!(node = %options.node, version = env!("CARGO_PKG_VERSION"), "margay-agent starts");
    // The socket first: a second agent finds it taken and ends before it has touched journal or kernel.
    let listener = socket::listen(&path).with_context(|| format!("--socket {}", path.display()))?;
    let (speaker, mut speaking) = speaker::spawn();
    let (reconciler, mut ended) = run::start(&options, speaker.clone())?;
    let front = Front::new(reconciler, speaker);
    front.hear_denials()?;
    tracing::info!(socket = %path.display(), "answering");
    tokio::spawn(socket::serve(listener, {
        let front = front.clone();
        move |request| front.clone().answer(request)
    }));
    if !http_address.is_empty() {
        let listener = tokio::net::TcpListener::bind(&http_address).await;
        let listener = listener.with_context(|| format!("--http-address {http_address}"))?;
        tokio::spawn(serve_http(listener, front.clone()));
    }
    if let run::Objects::Kubernetes(server) = &options.objects {
        cluster::start(server, options.node.clone(), front.reports(), front);
    }
    // Routes, pods and rules stay as they are: a successor finds them, and peers keep our routes meanwhile (RFC 4724).
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: ending; pods and routes stay"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending; pods and routes stay"),
        _ = &mut speaking => anyhow::bail!("the BGP speaker has ended"),
        _ = &mut ended => anyhow::bail!("the reconcile loop has ended"),
        () = broken(&options.objects) => anyhow::bail!("a part that talks to the API server has panicked"),
    }
    Ok(())
}

async fn broken(objects: &run::Objects) {
    match objects {
        run::Objects::Kubernetes(server) => server.broken().await,
        run::Objects::Directory(_) => std::future::pending().await,
    }
}

fn node_name(given: Option<&str>) -> anyhow::Result<NodeName> {
    let name = match given {
        Some(name) => name.to_string(),
        None => std::fs::read_to_string("/proc/sys/kernel/hostname").context("the host's name")?.trim().to_string(),
    };
    name.parse().context("--node-name")
}

/// Where to install what the container runtime needs; None if nowhere.
fn cni_directories(arguments: &Arguments) -> anyhow::Result<Option<cni::Directories>> {
    let given = |directory: &String| Some(directory).filter(|text| !text.is_empty()).map(PathBuf::from);
    let (bin, conf) = (given(&arguments.cni_bin_dir), given(&arguments.cni_conf_dir));
    if bin.is_none() && conf.is_none() {
        return Ok(None);
    }
    let shim = std::env::current_exe().context("the agent's own place")?.with_file_name(SHIM);
    Ok(Some(cni::Directories { bin, conf, shim, socket: arguments.socket.clone() }))
}

/// An empty one is none, as manifests leave variables empty.
fn method(text: &str) -> Result<Option<Method>, MethodError> {
    Some(text).filter(|text| !text.is_empty()).map(str::parse).transpose()
}

fn log(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(filter).with_context(|| format!("--log {filter}"))?;
    // The client says at every request what we say once; and all of an answer that it does not understand, be it of Secrets.
    for quiet in ["kube_client=off", "kube_runtime=off"] {
        filter = filter.add_directive(quiet.parse()?);
    }
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.with_ansi(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
