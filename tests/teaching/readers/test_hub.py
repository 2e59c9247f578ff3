import io

import numpy as np
import pytest
from PIL import Image
from teaching.small import CLASSES, small_images

from autokd_edge.errors import DataError
from autokd_edge.teaching.readers.hub import hub

datasets = pytest.importorskip("datasets")


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[0]).save(stream, "PNG")
    return stream.getvalue()


def write_dataset(path, parts: dict[str, int], *, broken: int = 0) -> str:
    """Write a data set as people put it on the hub: Parquet files with the features in their heads."""
    (path / "data").mkdir(parents=True)
    for part, count in parts.items():
        samples = small_images(count, seed=count)
        cells = [{"bytes": b"broken" if n < broken else png(image), "path": None} for n, image in enumerate(samples.images)]
        features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))})
        table = datasets.Dataset.from_dict({"picture": cells, "kind": samples.labels.tolist()}, features=features)
        table.to_parquet(path / "data" / f"{part}-00000-of-00001.parquet")
    return str(path)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)


@pytest.mark.slow
def test_images_and_classes_of_every_split_are_read(tmp_path):
    name = write_dataset(tmp_path / "birds", {"train": 120, "validation": 20, "test": 30})
    source = hub(name, None, cache=tmp_path / "cache")
    data = source.teaching()
    assert (data.name, data.classes, data.image) == ("hf-birds", CLASSES, (1, 8, 8))
    assert np.array_equal(data.train.images, small_images(120, seed=120).images)
    assert np.array_equal(source.test().labels, small_images(30, seed=30).labels)
    assert len(data.validation) == 20
    assert hub(name, None, cache=tmp_path / "cache").teaching().digest == data.digest


@pytest.mark.slow
def test_broken_cells_are_counted(tmp_path, caplog):
    source = hub(write_dataset(tmp_path / "birds", {"train": 120}, broken=3), None, cache=tmp_path / "cache")
    assert len(source.teaching().train) + len(source.teaching().validation) + len(source.test()) == 117
    assert "3 of 120 images in" in caplog.text


@pytest.mark.slow
def test_a_data_set_that_is_not_there_or_has_no_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="could not be read with datasets"):
        hub(str(tmp_path / "none"), None, cache=tmp_path / "cache")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="must have a column of images and one of classes; its columns are a, b"):
        hub(str(tmp_path / "text"), None, cache=tmp_path / "cache")
