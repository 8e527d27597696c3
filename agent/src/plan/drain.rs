//! Whether this node is taken out of service (RFC 8326), by whom, and how long its peers have to turn to others.

use std::time::Duration;

use bgp::config::Drain;
use model::object::{GRACEFUL_SHUTDOWN, GoDuration, Node, Standing};

use crate::world::World;

/// Long enough for a mesh or a router to choose again, short enough for who waits.
const WAIT: Duration = Duration::from_secs(10);

/// The drain that the speaker is to do, and who wants it, for a person.
pub fn drain(world: &World, node: &Node) -> Option<(Drain, String)> {
    let configurations = [format!("node.{}", world.node), "default".to_string()];
    let mut configured = configurations.iter().filter_map(|name| world.objects.bgp_configuration(name));
    let wait = configured.find_map(|c| c.graceful_shutdown_time).map_or(WAIT, |time| time.0);
    let (message, who) = match (&world.drained, node.service) {
        (Some(message), _) => (message.clone(), "margayctl node drain".to_string()),
        (None, Standing::OutOfService) => {
            (String::new(), format!("annotation {GRACEFUL_SHUTDOWN} of Node {}", node.name))
        }
        (None, Standing::InService) => return None,
    };
    let message = if message.is_empty() { format!("node {} is taken out of service", node.name) } else { message };
    let reason = format!("{who}: \"{message}\"; sessions end {} after their peers are told", GoDuration(wait));
    Some((Drain { wait, message }, reason))
}
