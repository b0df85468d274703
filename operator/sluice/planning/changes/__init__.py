"""What will happen when one set of manifests takes the place of another: two trees in, sentences out. Pure."""
