//! The simulation of two hundred speakers in its short form: one seed of each shape of network.
#![allow(clippy::unwrap_used)]

mod chaos;

use chaos::shapes::Shape;

#[test]
fn two_hundred_speakers_in_racks_come_to_their_one_fixed_point_whatever_befell_them() {
    chaos::run(Shape::Racks, 200, 1).unwrap();
}

#[test]
fn two_hundred_speakers_at_two_reflectors_come_to_their_one_fixed_point_whatever_befell_them() {
    chaos::run(Shape::Reflectors, 200, 1).unwrap();
}

#[test]
fn two_hundred_speakers_in_meshes_come_to_their_one_fixed_point_whatever_befell_them() {
    chaos::run(Shape::Meshes, 200, 1).unwrap();
}
