//! The threads that change the kernel. One job of a kind is under way at a time; its result comes back as [`Done`].

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use dataplane::actual::ActualRoute;
use dataplane::linux::monitor::Marker;
use dataplane::linux::netlink::{Netlink, NetlinkError};
use dataplane::linux::routes::{self, Outcome, Whose};
use dataplane::linux::tunnel::{self, Change};
use dataplane::linux::{links, nexthops, sysctl};
use dataplane::nexthop::ActualNexthop;
use dataplane::ours::Ours;
use dataplane::requests::Work;
use dataplane::want::Tunnel;
use model::Family;

use super::rules::{self, RulesOutcome, RulesWork};

/// Something to do.
#[derive(Debug)]
pub enum Job {
    /// Do these steps, in order.
    Routes(Work),
    /// Read all routes and nexthop objects again: the picture is out of date.
    ReadRoutes,
    /// Make the tunnel device so; without a wish take our addresses off it.
    Tunnel(Option<Tunnel>),
    /// Change the table of packet rules.
    Rules(RulesWork),
    /// Have the kernel forward packets of these families.
    Forward(Vec<Family>),
    /// Remove the host sides of pods by name, as far as they are ours.
    RemoveLinks(Vec<String>),
}

/// What became of a job.
#[derive(Debug)]
pub enum Done {
    /// Of the steps, with those that failed; an error means that nobody knows what became of them.
    Routes {
        /// As asked for.
        work: Work,
        /// What failed.
        outcome: Result<Outcome, String>,
        /// Whether a mark among the kernel's events follows, after all that others did before the end of the work.
        marked: bool,
    },
    /// All routes of table `main` and all nexthop objects.
    Read(Result<Table, String>),
    /// Of the tunnel device: what had to be changed.
    Tunnel(Result<Vec<Change>, String>),
    /// Of the packet rules.
    Rules {
        /// As asked for.
        work: RulesWork,
        /// Whether it is so now; after an error nobody knows.
        outcome: Result<RulesOutcome, String>,
    },
    /// Of forwarding.
    Forward(Result<(), String>),
    /// Of the links.
    Links(Result<(), String>),
    /// A thread has ended, most likely by a panic: nobody does its jobs any more, and the agent must end too.
    Gone,
}

/// What was read.
#[derive(Debug)]
pub struct Table {
    /// None where the kernel knows no such thing.
    pub nexthops: Option<Vec<ActualNexthop>>,
    /// Of table `main`.
    pub routes: Vec<ActualRoute>,
}

/// The way to the threads.
#[derive(Debug)]
pub struct Worker {
    routes: mpsc::Sender<Job>,
    links: mpsc::Sender<Job>,
    rules: mpsc::Sender<Job>,
    shared: Shared,
}

/// What the threads that change routes and rules share with the one that hears the kernel's events.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The port of the conversation that changes the routes: its own doing need not be told.
    pub port: u32,
    /// The same of the conversation that changes packet rules; none if it could not begin.
    pub rules_port: Option<u32>,
    /// Where the end of some work is marked among the events; none while nobody hears them.
    pub marker: Arc<Mutex<Option<Marker>>>,
}

impl Shared {
    fn mark(&self) -> bool {
        let marker = self.marker.lock().unwrap_or_else(PoisonError::into_inner);
        marker.as_ref().is_some_and(|marker| marker.mark().is_ok())
    }
}

impl Worker {
    /// Starts the threads in the calling thread's network namespace. `done` is called from them.
    pub fn start(done: impl Fn(Done) + Send + Clone + 'static) -> Result<Worker, NetlinkError> {
        let [routes, links, others] = [Netlink::route()?, Netlink::route()?, Netlink::route()?];
        // Without nftables in the kernel whoever programs rules hears the reason.
        let netfilter = Netlink::netfilter().ok();
        let rules_port = netfilter.as_ref().map(Netlink::port).transpose()?;
        let shared = Shared { port: routes.port()?, rules_port, marker: Arc::default() };
        let start = |name: &str, netlink: Netlink, netfilter: Option<Netlink>| {
            let (sender, jobs) = mpsc::channel();
            let (done, shared) = (done.clone(), shared.clone());
            let thread = std::thread::Builder::new().name(name.into());
            let begun = thread.spawn(move || run(netlink, netfilter, &shared, &jobs, &done));
            begun.map_err(|error| NetlinkError::Socket { doing: "start a thread", error })?;
            Ok::<_, NetlinkError>(sender)
        };
        // To remove a link takes an RCU grace period, tens of milliseconds: routes must not wait for it.
        Ok(Worker {
            routes: start("routes", routes, None)?,
            links: start("links", links, None)?,
            rules: start("rules", others, netfilter)?,
            shared,
        })
    }

    /// For whoever hears the kernel's events.
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Hands a job over. A thread that is gone has said so itself.
    pub fn give(&self, job: Job) {
        let to = match job {
            Job::RemoveLinks(_) => &self.links,
            Job::Rules(_) => &self.rules,
            _ => &self.routes,
        };
        let _ = to.send(job);
    }
}

/// Says, however a thread ends, that it has ended.
struct Ending<'a, F: Fn(Done)>(&'a F);

impl<F: Fn(Done)> Drop for Ending<'_, F> {
    fn drop(&mut self) {
        (self.0)(Done::Gone);
    }
}

fn run(
    netlink: Netlink,
    mut netfilter: Option<Netlink>,
    shared: &Shared,
    jobs: &mpsc::Receiver<Job>,
    done: &impl Fn(Done),
) {
    let _ending = Ending(done);
    let mut netlink = Some(netlink);
    while let Ok(job) = jobs.recv() {
        done(perform(&mut netlink, &mut netfilter, shared, job));
    }
}

/// Does one job; a socket that failed is made anew with the next, at its port if that is still free.
fn perform(netlink: &mut Option<Netlink>, netfilter: &mut Option<Netlink>, shared: &Shared, job: Job) -> Done {
    if netlink.is_none() {
        match Netlink::route_at(shared.port).or_else(|_| Netlink::route()) {
            Ok(open) => *netlink = Some(open),
            Err(error) => return refuse(job, format!("no netlink socket: {error}")),
        }
    }
    let Some(socket) = netlink.as_mut() else { return refuse(job, "no netlink socket".into()) };
    let done = match job {
        Job::Routes(work) => {
            let outcome = routes::apply(socket, &work, |_| ()).map_err(|e| e.to_string());
            Done::Routes { work, outcome, marked: shared.mark() }
        }
        Job::ReadRoutes => Done::Read(read(socket).map_err(|e| e.to_string())),
        Job::Tunnel(wish) => {
            let outcome = match wish {
                Some(wish) => tunnel::settle(socket, &wish),
                None => tunnel::retire(socket),
            };
            Done::Tunnel(outcome.map_err(|e| e.to_string()))
        }
        Job::Rules(work) => {
            let outcome = rules::perform(netfilter, shared.rules_port, &work).map_err(|e| e.to_string());
            Done::Rules { work, outcome }
        }
        Job::Forward(families) => Done::Forward(forward(&families)),
        Job::RemoveLinks(names) => Done::Links(remove_links(socket, &names).map_err(|e| e.to_string())),
    };
    let failed = matches!(&done, Done::Routes { outcome: Err(_), .. } | Done::Read(Err(_)) | Done::Links(Err(_)));
    if failed {
        *netlink = None;
    }
    done
}

fn read(netlink: &mut Netlink) -> Result<Table, NetlinkError> {
    // Objects first: routes that name one which came later are told again.
    Ok(Table { nexthops: nexthops::read(netlink)?, routes: routes::read(netlink, Whose::All)? })
}

fn refuse(job: Job, reason: String) -> Done {
    match job {
        Job::Routes(work) => Done::Routes { work, outcome: Err(reason), marked: false },
        Job::ReadRoutes => Done::Read(Err(reason)),
        Job::Tunnel(_) => Done::Tunnel(Err(reason)),
        Job::Rules(work) => Done::Rules { work, outcome: Err(reason) },
        Job::Forward(_) => Done::Forward(Err(reason)),
        Job::RemoveLinks(_) => Done::Links(Err(reason)),
    }
}

/// The group that links are in while they are deleted: nobody else's.
pub(super) const DELETED_GROUP: u32 = model::kernel::POD_LINK_GROUP + 1;

/// Removes those of the links that are there and ours; many in one grace period of the kernel.
fn remove_links(netlink: &mut Netlink, names: &[String]) -> Result<(), NetlinkError> {
    let mut found = Vec::new();
    for name in names {
        found.extend(links::by_name(netlink, name)?.and_then(|link| Ours::recognise(link).ok()));
    }
    match found.len() {
        0 => Ok(()),
        1 => links::delete(netlink, &found).map(|_| ()),
        _ => links::delete_group(netlink, &found, DELETED_GROUP),
    }
}

/// Without these a router's packets for pods, and pods' packets for elsewhere, end here.
fn forward(families: &[Family]) -> Result<(), String> {
    for family in families {
        let name = match family {
            Family::Ipv4 => "ipv4/ip_forward",
            Family::Ipv6 => "ipv6/conf/all/forwarding",
        };
        sysctl::set(name, "1").map_err(|e| e.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_says_that_it_is_gone() {
        let (sender, heard) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _ending = Ending(&|done| sender.send(done).unwrap());
            panic!("as a bug would");
        });
        assert!(thread.join().is_err());
        assert!(matches!(heard.recv(), Ok(Done::Gone)));
    }
}
