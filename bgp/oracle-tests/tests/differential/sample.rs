//! Routes to send, the same every time.

use bgp::wire::attr::{Aggregator, ExtendedCommunity};
use bgp::wire::{Attributes, Community, LargeCommunity, NextHop, Nlri, Origin, Prefix4, Prefix6, Transmit, encode};
use model::{Asn, ClusterId, Family, RouterId};

/// A small generator of numbers.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
    fn many<T>(&mut self, most: u64, mut one: impl FnMut(&mut Dice) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| one(self)).collect()
    }
}

/// Attributes and prefixes.
#[derive(Debug)]
pub struct Sample {
    pub attributes: Attributes,
    pub path: Vec<u32>,
    pub four: Vec<Nlri<Prefix4>>,
    pub six: Vec<Nlri<Prefix6>>,
}

/// AS numbers of both widths, or of four octets alone, none reserved.
fn number(dice: &mut Dice, tame: bool) -> Asn {
    let wide = tame || dice.coin();
    let number = if wide { 70_000 + dice.below(1_000_000) } else { 1 + dice.below(60_000) };
    Asn::new(number as u32).expect("not 0")
}

/// A unicast prefix: some decoders refuse others.
fn four(dice: &mut Dice, tame: bool) -> Nlri<Prefix4> {
    let address = (1 + dice.below(200)) << 24 | dice.below(1 << 24);
    let shortest = if tame { 16 } else { 0 };
    let length = shortest + dice.below(33 - shortest);
    Nlri::plain(Prefix4::new(address as u32, length as u8).expect("a length of IPv4"))
}
fn six(dice: &mut Dice) -> Nlri<Prefix6> {
    let address = 0x2000_u128 << 112 | u128::from(dice.next()) << 32;
    Nlri::plain(Prefix6::new(address, dice.below(129) as u8).expect("a length of IPv6"))
}

impl Sample {
    /// Every fourth is tame: made so that decoders that guess can guess right.
    pub fn roll(dice: &mut Dice) -> Sample {
        let tame = dice.below(4) == 0;
        let origin = [Origin::Igp, Origin::Egp, Origin::Incomplete][dice.below(3) as usize];
        let next_hop = NextHop::V4((0x0a00_0001 + dice.below(1 << 20) as u32).into());
        let mut draft = Attributes::new(origin, next_hop).edit();
        let path = dice.many(12, |dice| number(dice, tame));
        draft.set_as_path(&path);
        draft.med = dice.coin().then(|| dice.next() as u32);
        draft.local_pref = Some(dice.next() as u32);
        if !tame && dice.below(4) == 0 {
            draft.set_atomic_aggregate();
            draft.set_aggregator(Aggregator { asn: number(dice, tame), address: (dice.next() as u32).into() });
        }
        if dice.below(4) == 0 {
            draft.set_originator_id(RouterId::new(1 + dice.below(1 << 30) as u32).expect("not 0"));
            for id in dice.many(3, |dice| ClusterId(dice.next() as u32)) {
                draft.prepend_cluster(id);
            }
        }
        draft.set_communities(dice.many(6, |dice| Community((dice.below(0xfffe_ffff) as u32).max(1 << 16))));
        draft.set_large_communities(dice.many(3, |dice| {
            let [global, first, second] = [dice.next() as u32, dice.next() as u32, dice.next() as u32];
            LargeCommunity { global, first, second }
        }));
        let most = if tame { 0 } else { 3 };
        draft.set_extended_communities(dice.many(most, |dice| {
            // A route target of a 2-octet AS.
            let [.., a, b, c, d, e, f] = dice.next().to_be_bytes();
            ExtendedCommunity([0, 2, a, b, c, d, e, f])
        }));
        let path = path.into_iter().map(Asn::value).collect();
        Sample {
            attributes: draft.build(),
            path,
            four: dice.many(40, |dice| four(dice, tame)),
            six: dice.many(20, six),
        }
    }

    /// The UPDATEs that announce and withdraw all of it.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let (t, mut out) = (&Transmit::PLAIN, Vec::new());
        encode::updates(Family::Ipv4, &self.attributes, self.four.iter().copied(), t, &mut out).expect("they fit");
        all.extend(split(&mut out));
        let mut attributes = self.attributes.clone();
        attributes.next_hop = NextHop::V6("2001:db8::9".parse().expect("an address"));
        encode::updates(Family::Ipv6, &attributes, self.six.iter().copied(), t, &mut out).expect("they fit");
        all.extend(split(&mut out));
        encode::withdrawals(Family::Ipv4, self.four.iter().copied(), t, &mut out);
        encode::withdrawals(Family::Ipv6, self.six.iter().copied(), t, &mut out);
        all.extend(split(&mut out));
        all
    }
}

/// Messages one by one, by nothing but their length field.
fn split(stream: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while stream.len() >= 19 {
        let length = usize::from(u16::from_be_bytes([stream[16], stream[17]]));
        all.push(stream.drain(..length).collect());
    }
    all
}
