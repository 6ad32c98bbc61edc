"""The filesystem server: its options and its tools."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from garrison.servers.filesystem.arranging import Arranging
from garrison.servers.filesystem.listing import Listings
from garrison.servers.filesystem.reading import Reading
from garrison.servers.filesystem.searching import Searching
from garrison.servers.filesystem.writing import Writing
from garrison.servers.toolkit.app import App
from garrison.servers.toolkit.paths import Roots
from garrison.servers.toolkit.tool import DESTROYS, ENSURES, READS, REPLACES


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the filesystem server may touch."""

    roots: Annotated[
        tuple[str, ...], Meta(min_length=1, description="A folder that it may look into.", extra={"flag": "--root"})
    ]
    writable: Annotated[bool, Meta(description="Let it write, move and delete.")] = False


def build(options: Options) -> App:
    roots = Roots(options.roots)
    app = App(
        "filesystem",
        "Files",
        "Reads, searches and (if writable) changes files beneath the allowed folders; see list_allowed_directories. "
        "Relative paths start at the first of them.",
        writable=options.writable,
    )
    reading, listings, searching = Reading(roots), Listings(roots, writable=options.writable), Searching(roots)
    app.add("Allowed folders", READS, listings.list_allowed_directories)
    app.add("Read a text file", READS, reading.read_text_file)
    app.add("Read bytes", READS, reading.read_binary_file)
    app.add("File information", READS, reading.get_file_info)
    app.add("List a folder", READS, listings.list_directory)
    app.add("Folder tree", READS, listings.directory_tree)
    app.add("Find files by name", READS, searching.search_files)
    app.add("Find text in files", READS, searching.search_text)
    writing, arranging = Writing(roots), Arranging(roots)
    app.add("Write a file", REPLACES, writing.write_file)
    app.add("Edit a file", DESTROYS, writing.edit_file)
    app.add("Create a folder", ENSURES, arranging.create_directory)
    app.add("Move or rename", DESTROYS, arranging.move_file)
    app.add("Delete", DESTROYS, arranging.delete)
    return app
