"""What is known of workloads from earlier tunings."""

from autokd_edge.backends.tvm.known_tiles import KnownTile, KnownTiles
from autokd_edge.backends.tvm.tiles import Tile
from autokd_edge.core.digest import digest_of_json

KEY = digest_of_json(["a workload"])
FOUND = KnownTile(most=4, tile=Tile(pixels=2, vectors=1, lanes=8))


def test_what_was_kept_is_found_where_no_more_tiles_are_asked_for(tmp_path):
    known = KnownTiles(tmp_path / "tiles")
    assert known.find(KEY, 1) is None
    known.keep(KEY, FOUND)
    assert known.find(KEY, 4) == FOUND
    assert known.find(KEY, 5) is None


def test_a_damaged_file_is_not_known_and_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    KnownTiles(tmp_path).keep(KEY, FOUND)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:10])
    assert KnownTiles(tmp_path).find(KEY, 1) is None
    KnownTiles(file / "below").keep(KEY, FOUND)
    assert KnownTiles(file / "below").find(KEY, 1) is None
