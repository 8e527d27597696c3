//! Makes cases out of seeds: the same numbers from the same beginning, so that a case is named by its number.

/// The case of a target, made of its seeds.
pub struct Mutator {
    target: String,
    seeds: Vec<Vec<u8>>,
    dice: Dice,
}

/// Octets that mean something in one place or another.
const TELLING: [u8; 20] = [0, 1, 2, 3, 4, 5, 8, 14, 15, 16, 17, 24, 32, 33, 64, 127, 128, 192, 254, 255];
/// The longest case.
const LONGEST: usize = 4096;

impl Mutator {
    /// Beginning number zero gives other cases than beginning number one.
    pub fn new(target: &str, mut seeds: Vec<Vec<u8>>, beginning: u64) -> Mutator {
        seeds.retain(|seed| !seed.is_empty());
        seeds.sort();
        assert!(!seeds.is_empty(), "no seeds for {target}");
        let dice = Dice(0x9e37_79b9_7f4a_7c15 ^ beginning.wrapping_mul(0xd134_2543_de82_ef95));
        Mutator { target: target.into(), seeds, dice }
    }

    /// The next case.
    pub fn next_case(&mut self) -> Vec<u8> {
        let mut octets = self.seed().clone();
        for _ in 0..=self.dice.below(6) {
            self.change(&mut octets);
        }
        octets.truncate(LONGEST);
        // With lengths that fit, three of four get past the first look.
        if self.dice.below(4) > 0 {
            mend(&self.target, &mut octets);
        }
        octets
    }

    fn seed(&mut self) -> &Vec<u8> {
        let at = self.dice.below(self.seeds.len());
        &self.seeds[at]
    }

    fn change(&mut self, octets: &mut Vec<u8>) {
        let place = self.dice.below(octets.len().max(1));
        let telling = TELLING[self.dice.below(TELLING.len())];
        let any = self.dice.below(256) as u8;
        match self.dice.below(11) {
            _ if octets.is_empty() => octets.push(any),
            0 => octets[place] ^= 1 << self.dice.below(8),
            1 | 2 => octets[place] = telling,
            3 => octets[place] = any,
            4 => octets.insert(place, telling),
            5 => drop(octets.remove(place)),
            6 if self.dice.below(4) == 0 => octets.truncate(place),
            // A part again, somewhere.
            7 => {
                let end = (place + 1 + self.dice.below(40)).min(octets.len());
                let part = octets[place..end].to_vec();
                let at = self.dice.below(octets.len());
                octets.splice(at..at, part);
            }
            // A part of another seed.
            8 => {
                let at = self.dice.below(octets.len());
                let length = 1 + self.dice.below(60);
                let from = self.dice.below(4096);
                let other = self.seed();
                let from = from % other.len();
                let part = other[from..(from + length).min(other.len())].to_vec();
                octets.splice(at..at, part);
            }
            // A length that does not fit.
            9 if octets.len() > place + 1 => {
                octets[place] = 0;
                octets[place + 1] = any;
            }
            _ => octets[place] = octets[place].wrapping_add(if any & 1 == 0 { 1 } else { 255 }),
        }
    }
}

/// Makes the outermost lengths fit.
fn mend(target: &str, octets: &mut [u8]) {
    let whole = octets.len();
    match target {
        "message" if whole >= 19 => {
            octets[..16].fill(0xff);
            octets[16..18].copy_from_slice(&(whole as u16).to_be_bytes());
        }
        "update" if whole >= 5 => {
            let withdrawn = usize::from(u16::from_be_bytes([octets[1], octets[2]]));
            let at = 3 + withdrawn;
            if at + 2 > whole {
                octets[1..3].fill(0);
            } else {
                let attributes = usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]));
                if at + 2 + attributes > whole {
                    octets[at..at + 2].copy_from_slice(&((whole - at - 2) as u16).to_be_bytes());
                }
            }
        }
        "attribute" => {
            // The last attribute that runs over the end ends there.
            let mut at = 1;
            while at + 3 <= whole {
                let wide = octets[at] & 0x10 != 0;
                let head = if wide { 4 } else { 3 };
                if at + head > whole {
                    break;
                }
                let length = if wide {
                    usize::from(u16::from_be_bytes([octets[at + 2], octets[at + 3]]))
                } else {
                    usize::from(octets[at + 2])
                };
                let left = whole - at - head;
                if length > left {
                    if wide {
                        octets[at + 2..at + 4].copy_from_slice(&(left as u16).to_be_bytes());
                    } else {
                        octets[at + 2] = left as u8;
                    }
                    break;
                }
                at += head + length;
            }
        }
        "open" if (10..266).contains(&whole) => octets[9] = (whole - 10) as u8,
        "bmp" if whole >= 6 => {
            octets[0] = 3;
            octets[1..5].copy_from_slice(&(whole as u32).to_be_bytes());
        }
        _ => {}
    }
}

/// Numbers that look like chance (xorshift).
pub struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound.max(1) as u64) as usize
    }
}
