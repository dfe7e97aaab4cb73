#!/usr/bin/env python3
"""Holds debian/copyright and deny.toml against what cargo says is linked in.

usage: licences.py METADATA COPYRIGHT DENY

METADATA is the output of `cargo metadata`. Every crate of a normal dependency must stand in a
paragraph of COPYRIGHT (as `vendor/NAME/*`) under its own licence expression, no other crate may,
every licence must have its text there; and the expression must be satisfied by what DENY allows.
"""
import json
import re
import sys
import tomllib


def linked(metadata):
    """The packages that normal dependencies reach, the root left out."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, stack = set(), [root]
    while stack:
        package = stack.pop()
        if package in seen:
            continue
        seen.add(package)
        for dep in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dep["dep_kinds"]):
                stack.append(dep["pkg"])
    return [p for p in metadata["packages"] if p["id"] in seen and p["id"] != root]


def alternatives(expression):
    """A licence expression as a set of sets: one of the sets has to be kept."""
    text = expression.replace("/", " or ").replace("(", "").replace(")", "").lower()
    parts = [part.split(" or ") for part in text.split(" and ")]
    sets = {frozenset()}
    for part in parts:
        sets = {chosen | {licence.strip()} for chosen in sets for licence in part}
    return frozenset(sets)


def paragraphs(path):
    for text in re.split(r"\n\s*\n", open(path, encoding="utf-8").read()):
        fields = re.split(r"^([A-Z][A-Za-z-]*):", text, flags=re.M)[1:]
        yield {name: value.strip() for name, value in zip(fields[::2], fields[1::2])}


def main():
    metadata, copyright_path, deny_path = sys.argv[1:]
    packages = linked(json.load(open(metadata, encoding="utf-8")))
    allowed = set(tomllib.load(open(deny_path, "rb"))["licenses"]["allow"])
    allowed = {licence.lower() for licence in allowed}

    stated, texts = {}, set()
    for fields in paragraphs(copyright_path):
        lines = fields.get("License", "").splitlines()
        if "Files" not in fields or len(lines) > 1:
            texts.update(line.lower() for line in lines[:1])
        for name in re.findall(r"(?<!\S)vendor/([^/\s]+)/\*(?!\S)", fields.get("Files", "")):
            stated[name] = lines[0]

    wrong = []
    for package in packages:
        name, licence = package["name"], package["license"] or ""
        if name not in stated:
            wrong.append(f"{name}: not in {copyright_path}: add vendor/{name}/* under {licence}")
        elif alternatives(stated[name]) != alternatives(licence):
            wrong.append(f"{name}: its licence is {licence}, not {stated[name]}")
        if not any(choice <= allowed for choice in alternatives(licence)):
            wrong.append(f"{name}: {licence} is not allowed by {deny_path}")
    used = {package["name"] for package in packages}
    unused = [name for name in stated if name not in used]
    wrong += [f"{name}: in {copyright_path}, but not linked in" for name in unused]
    named = {licence for text in stated.values() for one in alternatives(text) for licence in one}
    wrong += [f"{copyright_path} has no text for {licence}" for licence in sorted(named - texts)]
    print("\n".join(wrong) or f"{len(packages)} crates")
    return 1 if wrong else 0


sys.exit(main())
