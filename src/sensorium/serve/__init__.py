"""A collection on the network: a JSON API and a page for people, behind one gate that counts every byte that comes in."""
