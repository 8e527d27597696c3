//! Links: found by name, and ours deleted one by one or together.

use dataplane::actual::Link;
use dataplane::linux::links;
use dataplane::linux::netlink::Netlink;
use dataplane::ours::Ours;
use model::kernel::POD_LINK_GROUP;

use crate::lab::{fresh, sh, uplinks};

const SOME_GROUP: u32 = POD_LINK_GROUP + 1;

/// Makes so many host sides of pods, and one link that only has such a name.
fn pods(count: usize) -> Vec<Ours<Link>> {
    sh(&format!(
        "for n in $(seq {count}); do ip link add cali000000000$n group {POD_LINK_GROUP} type veth peer name pod$n; done
         ip link add califoreign type veth peer name other"
    ));
    links::read(&mut Netlink::route().unwrap())
        .unwrap()
        .into_iter()
        .filter_map(|link| Ours::recognise(link).ok())
        .collect()
}

fn names() -> String {
    sh("ip -o link show type veth | cut -d' ' -f2 | cut -d@ -f1 | sort | xargs")
}

#[test]
fn a_link_is_found_by_its_name_with_all_we_ask_of_it() {
    fresh(|| {
        let [up0, _] = uplinks();
        sh("ip link set up0 mtu 1400 group 7");
        let mut netlink = Netlink::route().unwrap();
        let link = links::by_name(&mut netlink, "up0").unwrap().unwrap();
        assert_eq!((link.index, link.mtu, link.group, link.up, link.carrier), (up0, 1400, 7, true, true));
        assert_eq!(link.kind.as_deref(), Some("veth"));
        assert_eq!(link.mac, Some([2, 0, 0, 0, 0, 0]));
        assert_eq!(links::by_name(&mut netlink, "absent0").unwrap(), None);
        assert!(links::read(&mut netlink).unwrap().contains(&link));
    });
}

#[test]
fn a_link_of_ours_is_deleted_and_gone_already_is_as_good() {
    fresh(|| {
        let ours = pods(2);
        let mut netlink = Netlink::route().unwrap();
        assert_eq!(links::delete(&mut netlink, &ours).unwrap(), []);
        assert_eq!(links::delete(&mut netlink, &ours).unwrap(), []);
        assert_eq!(names(), "califoreign other");
    });
}

#[test]
fn many_links_of_ours_go_together_and_no_other_with_them() {
    fresh(|| {
        let ours = pods(5);
        let mut netlink = Netlink::route().unwrap();
        let (two, three) = ours.split_at(2);
        links::delete_group(&mut netlink, three, SOME_GROUP).unwrap();
        assert_eq!(names(), "cali0000000001 cali0000000002 califoreign other pod1 pod2");
        sh("ip link del cali0000000001");
        links::delete_group(&mut netlink, two, SOME_GROUP).unwrap();
        links::delete_group(&mut netlink, two, SOME_GROUP).unwrap();
        assert_eq!(names(), "califoreign other");
    });
}
