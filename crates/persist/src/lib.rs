//! Durability: the file system behind one trait.
