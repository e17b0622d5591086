fn main() { print!("{}", hub_crds::crd_yaml().unwrap()); }
