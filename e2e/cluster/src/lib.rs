//! A real Kubernetes on one machine: API server, kubelets, containerd and kube-proxy from upstream's own modules, no container registry.
//!
//! A cluster is known by its prefix (`mk`): namespaces `mk-cp`, `mk-tor`, `mk-outside`, `mk-n1` …, cgroups of the same
//! names, and one folder below `/var/lib/margay-cluster`. Each node is a root, a process tree and a cgroup tree of its own.

pub mod build;
pub mod cluster;
pub mod cni;
pub mod conformance;
pub mod control_plane;
pub mod debian;
pub mod figures;
pub mod image;
pub mod images;
pub mod kubectl;
pub mod node;
pub mod pki;
pub mod plan;
pub mod pod_netns;
pub mod policy_api;
pub mod traces;
pub mod trial;
pub mod underlay;
pub mod undo;
