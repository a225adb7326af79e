"""One module for each way to get honker: `pack(release, folder)` writes its files into a folder of dist/."""
