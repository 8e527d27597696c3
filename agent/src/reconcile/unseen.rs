//! An ADD whose pod the API server has not shown yet: what is written on the pod counts, so the ADD waits a moment.
//!
//! The kubelet and the agent hear of a pod at about the same time, and the kubelet has much to do before it calls the
//! shim: this is for the rare other order.

use std::time::Duration;

use model::Time;
use model::api::{Attach, Request};
use model::object::Pod;

use super::Reconciler;

/// How long an ADD waits for its pod and its namespace. A shim waits longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Where the API server has the uid by which the kubelet knows a static pod.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

impl Reconciler {
    /// Until when this request, which came at `since`, waits for its pod to be seen; None if it does not, or no longer.
    ///
    /// Never where the objects are files, nor while the API server is away, nor for an attachment that has its lease.
    pub fn waits_for_pod(&self, request: &Request, since: Time, now: Time) -> Option<Time> {
        let Request::Attach(attach) = request else { return None };
        let until = since + PATIENCE;
        (now < until && self.is_unseen(attach)).then_some(until)
    }

    /// Whether the API server, being there, has yet to show the pod or its namespace.
    pub(super) fn is_unseen(&self, attach: &Attach) -> bool {
        let Some(reference) = &attach.pod else { return false };
        let answers = self.world.api_server.as_ref().is_some_and(|state| state.away.is_none());
        if !answers || self.still_reading().is_some() || self.world.leases.of(&attach.attachment).is_some() {
            return false;
        }
        let objects = &self.world.objects;
        let pod = objects.pod(reference).is_some_and(|pod| is_same(pod, attach.uid.as_deref()));
        !pod || objects.namespace(&reference.namespace).is_none()
    }
}

/// Whether this is the very pod, and not one of the same name before it.
fn is_same(pod: &Pod, uid: Option<&str>) -> bool {
    let known = [pod.meta.uid.as_deref(), pod.meta.annotations.get(CONFIG_HASH).map(String::as_str)];
    uid.is_none() || pod.meta.uid.is_none() || known.contains(&uid)
}
