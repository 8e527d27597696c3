//! `node drain` and `node undrain`.

use std::time::{Duration, Instant};

use model::api::show::{DrainState, NodeStatusView};
use model::api::{Request, Show};

use crate::Verdict;
use crate::client::Client;
use crate::output::print;

/// From one look at the agent to the next.
const LOOK: Duration = Duration::from_millis(200);

/// Takes the node out of service, and waits for it as long as `patience` says.
pub fn drain(client: &mut Client, message: Option<String>, patience: Option<Duration>) -> anyhow::Result<Verdict> {
    client.order(&Request::Drain { message })?;
    let Some(patience) = patience else {
        print("The node is being drained; margayctl node status says how far it is.\n")?;
        return Ok(Verdict::Fine);
    };
    let begun = Instant::now();
    loop {
        let status: NodeStatusView = client.show(Show::NodeStatus)?;
        match status.drain {
            Some(drain) if drain.state == DrainState::Drained => {
                print(&format!("Node {} is drained: its sessions are down.\n", status.node))?;
                return Ok(Verdict::Fine);
            }
            Some(_) => {}
            None => anyhow::bail!("node {} was taken back into service meanwhile", status.node),
        }
        if begun.elapsed() >= patience {
            print(&format!("Node {} is still being drained.\n", status.node))?;
            return Ok(Verdict::Problems);
        }
        std::thread::sleep(LOOK);
    }
}

/// Takes the node back into service.
pub fn undrain(client: &mut Client) -> anyhow::Result<()> {
    client.order(&Request::Undrain)?;
    print("The node is back in service.\n")
}
