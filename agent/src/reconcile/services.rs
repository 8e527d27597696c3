//! What can be shown of Services: which of their addresses this node announces.

use model::api::show::{ServiceAddressView, ServiceBlockView, ServiceRef, ServiceView, ServicesView};
use model::object::{ServiceType, TrafficPolicy};

use super::Reconciler;
use crate::plan::services::{AddressPlan, BlockPlan, ServicePlan, blocks, services};

impl Reconciler {
    /// All Services with addresses, or one of them.
    pub(super) fn services(&self, of: Option<&ServiceRef>) -> ServicesView {
        let block = |plan: BlockPlan| ServiceBlockView {
            cidr: plan.cidr,
            kind: plan.kind,
            advertised: plan.verdict.announces(),
            reason: plan.verdict.to_string(),
        };
        let views = services(&self.world).into_iter().map(view);
        let asked = |view: &ServiceView| of.is_none_or(|of| of.namespace == view.namespace && of.name == view.name);
        ServicesView {
            blocks: blocks(&self.world).into_iter().map(block).collect(),
            services: views.filter(asked).collect(),
        }
    }
}

fn view(plan: ServicePlan<'_>) -> ServiceView {
    let service = plan.service;
    let mut summary = vec![match service.kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName => "ExternalName",
    }];
    if service.external_traffic_policy == TrafficPolicy::Local {
        summary.push("externalTrafficPolicy Local");
    }
    if service.internal_traffic_policy == TrafficPolicy::Local {
        summary.push("internalTrafficPolicy Local");
    }
    let address = |plan: &AddressPlan| ServiceAddressView {
        address: plan.address,
        kind: plan.kind,
        advertised: plan.advertised(),
        reason: plan.verdict.to_string(),
    };
    ServiceView {
        namespace: service.meta.namespace.clone().unwrap_or_else(|| "default".into()),
        name: service.meta.name.clone(),
        summary: summary.join(", "),
        ready_here: !plan.ready_here.is_empty(),
        addresses: plan.addresses.iter().map(address).collect(),
    }
}
